"""Training speed beside the stock settings of a fine-tuning script, in one run on one machine.

    python benchmarks/training.py --target 70 --json training.json

ours: configs/sentiment.yaml (low-rank q/k/v, batches of one length under a token budget). stock: full
fine-tuning in fp32 with every text padded to 128 tokens, shuffled batches of 32, AdamW at 5e-5 with
linear decay over 3 epochs: the defaults of transformers' text-classification example. Both start from
the same base on the same rows; dev accuracy is measured eight times an epoch, off the clock.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import get_linear_schedule_with_warmup, set_seed

from pipelines.config import RunConfig, load_config
from pipelines.data.batching import TokenBudgetSampler, pad_inputs
from pipelines.data.prepare import prepare
from pipelines.data.tokenization import TextTokenizer
from pipelines.environment import hardware, use_bf16
from pipelines.models.bases import load_tokenizer, resolve_base
from pipelines.models.optimisation import parameter_groups
from pipelines.prediction import Predictor, TorchRunner
from pipelines.tasks import create_task
from pipelines.training import build_model

PADDED = 128
STOCK_BATCH = 32
STOCK_OVERRIDES = [
    "adapter=null", "training.learning_rate=5e-5", "training.head_learning_rate=5e-5",
    "training.layer_decay=1", "training.epochs=3", "training.precision=fp32",
]  # fmt: skip


@dataclass
class Outcome:
    """Measured on the clock of training steps alone; `reached` is None if the target was not."""

    name: str
    examples_per_second: float
    reached: float | None
    best_accuracy: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", type=float, default=70, help="dev accuracy in points")
    parser.add_argument("--limit", type=float, default=900, help="seconds of training at most, each")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    config = Path(__file__).parent.parent / "configs" / "sentiment.yaml"
    outcomes = [
        measure("ours", load_config(config), None, options.target, options.limit),
        measure("stock", load_config(config, STOCK_OVERRIDES), PADDED, options.target, options.limit),
    ]
    report = {"target": options.target, "hardware": hardware(), "outcomes": [vars(o) for o in outcomes]}
    for outcome in outcomes:
        reached = f"{outcome.reached:.0f} s" if outcome.reached else "not reached"
        print(
            f"{outcome.name:<6} {outcome.examples_per_second:6.1f} examples/s   {options.target:g} % dev "
            f"accuracy: {reached:<12} best {outcome.best_accuracy:.1f} % in {outcome.seconds:.0f} s"
        )
    ours, stock = outcomes
    print(f"ratio  {ours.examples_per_second / stock.examples_per_second:.1f} x examples/s", end="")
    print(f", {stock.reached / ours.reached:.1f} x less time" if ours.reached and stock.reached else "")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def measure(name: str, config: RunConfig, padded: int | None, target: float, limit: float) -> Outcome:
    """Trains until the target, the limit or the end of the schedule."""
    set_seed(config.seed)
    task = create_task(config.task)
    data = prepare(config.data, task, config.seed)
    base = resolve_base(config.base.source, config.base.name)
    tokenizer = TextTokenizer(load_tokenizer(base), task.max_length)
    model = build_model(config, task, base)
    rows = [item.ids for item in tokenizer.encode(data.splits["train"]["text"])]
    labels = np.array([task.target(example) for example in data.splits["train"]])
    ratio = config.adapter.b_rate_ratio if config.adapter else 1.0
    groups = parameter_groups(model, config.training, task.fresh_modules, ratio)
    optimizer = torch.optim.AdamW(groups, fused=True)
    epoch_of = _batches(rows, config, padded)
    per_epoch = len(list(epoch_of(0)))
    total = int(config.training.epochs * per_epoch)
    schedule = get_linear_schedule_with_warmup(optimizer, int(config.training.warmup * total), total)
    bf16 = use_bf16(config.training.precision)

    clock, seen, best, reached = 0.0, 0, 0.0, None
    dev = data.splits["validation"]
    gold = [task.target(example) for example in dev]
    for step in range(1, total + 1):
        if (step - 1) % per_epoch == 0:
            batches = epoch_of((step - 1) // per_epoch)
        chosen = next(batches)
        start = time.perf_counter()
        model.train()
        inputs = _inputs([rows[row] for row in chosen], tokenizer.pad_id, padded)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(**inputs, labels=torch.from_numpy(labels[chosen])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.training.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        clock += time.perf_counter() - start
        seen += len(chosen)
        if step % max(1, per_epoch // 8) == 0 or step == total:
            logits = Predictor(task, tokenizer, TorchRunner(model)).logits(dev["text"])
            accuracy = 100 * float((logits.argmax(axis=1) == gold).mean())
            best = max(best, accuracy)
            print(f"  {name:<6} step {step}/{total}  {clock:.0f} s  {accuracy:.1f} %", flush=True)
            if accuracy >= target and reached is None:
                reached = clock
                break
        if clock > limit:
            break
    return Outcome(name, seen / clock, reached, best, clock)


def _batches(
    rows: list[list[int]], config: RunConfig, padded: int | None
) -> Callable[[int], Iterator[list[int]]]:
    def by_length(epoch: int) -> Iterator[list[int]]:
        sampler = TokenBudgetSampler([len(r) for r in rows], config.training.tokens_per_batch, config.seed)
        sampler.set_epoch(epoch)
        return iter(sampler)

    def fixed(epoch: int) -> Iterator[list[int]]:
        order = np.random.default_rng([config.seed, epoch]).permutation(len(rows)).tolist()
        return (order[start : start + STOCK_BATCH] for start in range(0, len(order), STOCK_BATCH))

    return by_length if padded is None else fixed


def _inputs(batch: list[list[int]], pad_id: int, padded: int | None) -> dict[str, torch.Tensor]:
    arrays = pad_inputs(batch, pad_id)
    if padded is not None:
        width = padded - arrays["input_ids"].shape[1]
        arrays = {
            name: np.pad(array, ((0, 0), (0, width)), constant_values=pad_id if name == "input_ids" else 0)
            for name, array in arrays.items()
        }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


if __name__ == "__main__":
    main()
