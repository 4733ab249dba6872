"""Where query, key and value live inside each transformer family.

One table maps `model_type` (the name in a model's config.json) to the names of its linears. A name
is the tail of a module path and is matched as a whole: ``query`` matches
``encoder.layer.0.attention.self.query`` and not ``requery``.
"""

from typing import Literal, NamedTuple

import torch

from pipelines.errors import ModelError

Projection = Literal["query", "key", "value", "output"]


class Names(NamedTuple):
    """Module names of the attention projections of one `model_type`.

    Where query, key and value share one fused linear (ModernBERT's ``Wqkv``) the three names are
    equal: choosing any of them adapts the fused linear.
    """

    query: str
    key: str
    value: str
    output: str


PROJECTIONS: dict[str, Names] = {
    "bert": Names("query", "key", "value", "attention.output.dense"),
    "roberta": Names("query", "key", "value", "attention.output.dense"),
    "xlm-roberta": Names("query", "key", "value", "attention.output.dense"),
    "electra": Names("query", "key", "value", "attention.output.dense"),
    "distilbert": Names("q_lin", "k_lin", "v_lin", "out_lin"),
    "deberta-v2": Names("query_proj", "key_proj", "value_proj", "attention.output.dense"),
    "mpnet": Names("attn.q", "attn.k", "attn.v", "attn.o"),
    "albert": Names("query", "key", "value", "attention.dense"),
    "modernbert": Names("attn.Wqkv", "attn.Wqkv", "attn.Wqkv", "attn.Wo"),
}


def module_names(model: torch.nn.Module, model_type: str, chosen: list[str]) -> list[str]:
    """Full paths of the linears in `model` that the `chosen` projections stand for.

    `chosen` holds projection names (``query``, ``key``, ``value``, ``output``) or, for a family
    that the table does not know, the tails of module paths. Raises `ModelError` when one of them
    matches no linear; the message lists the linears that the model has.
    """
    linears = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    known = PROJECTIONS.get(model_type)
    found: list[str] = []
    for projection in chosen:
        tail = getattr(known, projection, projection)
        matches = [name for name in linears if name == tail or name.endswith("." + tail)]
        if not matches:
            raise ModelError(_no_such_projection(projection, model_type, linears))
        found += [name for name in matches if name not in found]
    return found


def _no_such_projection(projection: str, model_type: str, linears: list[str]) -> str:
    tails = sorted({_without_layer_number(name) for name in linears})
    expected = "query, key, value, output" if model_type in PROJECTIONS else "the tail of a linear's name"
    return (
        f"adapter.projections: no linear of this {model_type!r} model matches {projection!r}.\n"
        f"Expected: {expected}. The model's linears (N is the layer): {', '.join(tails)}."
    )


def _without_layer_number(name: str) -> str:
    return ".".join("N" if part.isdigit() else part for part in name.split("."))
