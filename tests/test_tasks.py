"""The contract that every task keeps, whatever it does; a new task is covered by its tiny config."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import training
from pipelines.config import load_config
from pipelines.data.batching import Collator
from pipelines.data.prepare import prepare
from pipelines.data.tokenization import TextTokenizer
from pipelines.models.bases import load_tokenizer, resolve_base
from pipelines.prediction import Predictor, TorchRunner
from pipelines.tasks import NAMES, create_task
from tests.conftest import CONFIGS


def test_every_task_has_a_tiny_config_and_a_full_one() -> None:
    for name in NAMES:
        assert load_config(CONFIGS / "tiny" / f"{name}.yaml").task.name == name
        assert load_config(CONFIGS / f"{name}.yaml").task.name == name


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, tiny_bert: Path) -> None:
    config = load_config(CONFIGS / "tiny" / f"{name}.yaml", [f"base.name={tiny_bert}"])
    task = create_task(config.task)
    assert create_task(config.task.model_dump()).settings == task.settings
    base = resolve_base("path", str(tiny_bert))
    tokenizer = TextTokenizer(load_tokenizer(base), task.max_length)
    model = training.build_model(config, task, base)
    data = prepare(config.data, task, config.seed)
    examples = list(data.splits["train"].select(range(8)))
    texts = [example["text"] for example in examples]
    rows = [
        {"input_ids": item.ids, "labels": task.target(example)}
        for item, example in zip(tokenizer.encode(texts), examples, strict=True)
    ]
    batch = Collator(tokenizer.pad_id)(rows)

    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for _ in range(2):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(np.isfinite(losses))
    trained = {parameter for parameter, value in model.named_parameters() if value.grad is not None}
    assert all(".lora_" in one or any(f".{part}." in one for part in task.fresh_modules) for one in trained)

    predictions = Predictor(task, tokenizer, TorchRunner(model)).predict(texts)
    assert [prediction.text for prediction in predictions] == texts
    tensors = task.tensors(predictions)
    assert [(t.name, t.datatype, len(t.shape)) for t in tensors] == [
        (t.name, t.datatype, len(t.shape)) for t in task.outputs
    ]
    assert all(len(tensor.data) == np.prod(tensor.shape) for tensor in tensors)
    evaluation = task.evaluate(examples, predictions, samples=100, confidence=0.95, seed=0)
    assert task.primary_metric in evaluation.metrics
