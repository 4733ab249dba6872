# aasaan. `make` alone lists the targets. Every target that needs the environment makes it first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= python3
TASK ?=
SET ?=
TASKS := $(sort $(shell sed -n "s/^  name: \([a-z]*\)$$/\1/p" configs/*.yaml))
export HF_HUB_DISABLE_TELEMETRY := 1
# The default set-up needs no network after the installation; HF_HUB_OFFLINE=0 lets hub configs download.
export HF_HUB_OFFLINE ?= 1

.PHONY: help setup finetune serve ui test check format docs clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo; echo "  tasks: $(TASKS)      overrides: make finetune TASK=sentiment SET='training.epochs=1 seed=7'"

setup: $(STAMP) ## Make .venv with everything at locked versions (other targets do this too)

$(STAMP): requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "aasaan needs Python 3.11 or newer as '$(PYTHON)'; found: $$($(PYTHON) --version 2>&1 | head -1)." \
	       "Install one, or name it: make PYTHON=python3.12 …" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked dependencies into $(VENV) (about 2 GB, a few minutes the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

finetune: ## Fine-tune, evaluate, track, promote: make finetune TASK=sentiment
	@test -n "$(TASK)" -a -f "configs/$(TASK).yaml" \
	  || { echo "TASK='$(TASK)' is not a task. Expected one of: $(TASKS). E.g. make finetune TASK=sentiment" >&2; exit 2; }
	@$(MAKE) --no-print-directory $(STAMP)
	@$(BIN)/aasaan finetune configs/$(TASK).yaml $(foreach s,$(SET),--set '$(s)')

serve: $(STAMP) ## Serve the champions on http://127.0.0.1:8000
	@exec $(BIN)/aasaan serve

ui: $(STAMP) ## The MLflow UI on http://127.0.0.1:5000
	@exec $(BIN)/aasaan ui

test: $(STAMP) ## Run the tests (no network)
	@$(BIN)/python -m pytest

check: $(STAMP) ## Lint, types, layering, docs up to date, tests
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python docs/generate_configuration.py --check
	@$(BIN)/python -m pytest

format: $(STAMP) ## Format and fix what can be fixed
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

docs: $(STAMP) ## Write docs/configuration.md anew
	@$(BIN)/python docs/generate_configuration.py

clean: ## Remove the environment (not .aasaan, where runs and models are)
	rm -rf $(VENV)
