"""``python -m pipelines``: the ``aasaan`` command, for launchers such as ``accelerate launch -m``."""

from pipelines.cli import main

if __name__ == "__main__":
    main()
