"""The table of projections, on tiny models made from the configs of each family."""

import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoModel,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    T5Config,
    XLMRobertaConfig,
)

from pipelines.errors import ModelError
from pipelines.models.adapters import add_adapter, merge
from pipelines.models.classifier import PooledClassifier
from pipelines.models.projections import PROJECTIONS, module_names

SIZES = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 40, "pad_token_id": 0,
}  # fmt: skip
CONFIGS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**SIZES),
    "roberta": RobertaConfig(**SIZES),
    "xlm-roberta": XLMRobertaConfig(**SIZES),
    "electra": ElectraConfig(**SIZES, embedding_size=16),
    "distilbert": DistilBertConfig(
        vocab_size=50, dim=16, n_layers=2, n_heads=2, hidden_dim=32, pad_token_id=0
    ),
    "deberta-v2": DebertaV2Config(**SIZES),
    "mpnet": MPNetConfig(**SIZES),
    "albert": AlbertConfig(**SIZES, embedding_size=16),
    "modernbert": ModernBertConfig(
        **SIZES, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, attn_implementation="eager"
    ),
}
SHARED_LAYERS = {"albert"}
FUSED = {"modernbert"}


def encoder(model_type: str) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModel.from_config(CONFIGS[model_type])


def test_every_family_of_the_table_is_tested() -> None:
    assert set(CONFIGS) == set(PROJECTIONS)


@pytest.mark.parametrize("model_type", PROJECTIONS)
def test_each_projection_is_found_once_a_layer(model_type: str) -> None:
    model = encoder(model_type)
    layers = 1 if model_type in SHARED_LAYERS else 2
    for projection in ("query", "key", "value", "output"):
        assert len(module_names(model, model_type, [projection])) == layers
    everything = module_names(model, model_type, ["query", "key", "value"])
    assert len(everything) == layers * (1 if model_type in FUSED else 3)


@pytest.mark.parametrize("model_type", PROJECTIONS)
def test_adapter_trains_projections_and_head_only_and_merges(model_type: str) -> None:
    model = PooledClassifier(encoder(model_type), ["a", "b"], dropout=0.0)
    adapted = add_adapter(
        model, model_type, ["query", "key", "value"], rank=2, alpha=4, fresh_modules=["head"]
    )
    inputs = {"input_ids": torch.randint(3, 50, (2, 6)), "attention_mask": torch.ones(2, 6, dtype=torch.long)}
    before = adapted(**inputs).logits
    adapted(**inputs, labels=torch.tensor([0, 1])).loss.backward()
    with_gradient = {name for name, p in adapted.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert all(".lora_" in name or ".head.modules_to_save." in name for name in with_gradient)
    torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=1.0).step()
    after = adapted.eval()(**inputs).logits
    assert not torch.allclose(before, after)
    torch.testing.assert_close(merge(adapted).eval()(**inputs).logits, after, atol=1e-4, rtol=1e-4)


def test_number_of_trainable_parameters_is_exact() -> None:
    model = PooledClassifier(encoder("bert"), ["a", "b", "c"])
    adapted = add_adapter(model, "bert", ["query", "value"], rank=3, alpha=4, fresh_modules=["head"])
    trainable = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    # Two layers, two projections, A and B of 3 x 16 each; a head of 16 x 3 and 3 biases.
    assert trainable == 2 * 2 * 2 * 3 * 16 + 16 * 3 + 3


def test_a_projection_that_is_not_there_lists_the_linears() -> None:
    with pytest.raises(ModelError, match="no linear of this 'bert' model matches 'querry'") as caught:
        module_names(encoder("bert"), "bert", ["query", "querry"])
    assert "encoder.layer.N.attention.self.query" in str(caught.value)


def test_an_unknown_family_takes_the_names_of_its_linears() -> None:
    config = T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    model = AutoModel.from_config(config).encoder
    assert len(module_names(model, "t5", ["SelfAttention.q", "SelfAttention.v"])) == 4
    with pytest.raises(
        ModelError, match=r"the tail of a linear's name.*block\.N\.layer\.N\.SelfAttention\.q"
    ):
        module_names(model, "t5", ["query"])
