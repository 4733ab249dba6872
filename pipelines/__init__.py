"""aasaan: fine-tune a transformer for a task, track it, and make it a bundle that can be served.

from pipelines import finetune, load

run = finetune("configs/sentiment.yaml", ["training.epochs=2"])
model = load("sentiment")                 # or a bundle folder, or an MLflow URI
model.predict(["The exam was a piece of cake"])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.finetuning import finetune
    from pipelines.loading import load

__all__ = ["finetune", "load"]


def __getattr__(name: str) -> Any:
    # On first use, so that the command line can say what is wrong before torch is loaded.
    if name == "finetune":
        from pipelines.finetuning import finetune

        return finetune
    if name == "load":
        from pipelines.loading import load

        return load
    raise AttributeError(name)
