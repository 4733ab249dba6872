"""Tiny transformers of several families, and sentiment data that they can learn."""

import csv
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordPieceTrainer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from pipelines.data.tables import read_corpus

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
GOOD = ["good", "great", "fine", "lovely", "nice", "superb"]
BAD = ["bad", "poor", "awful", "dreadful", "broken", "dull"]
THINGS = ["film", "phone", "room", "soup", "train", "book", "lesson", "match"]


def make_tiny_bert(folder: Path) -> Path:
    """Saves a two-layer BERT of width 32 and a tokenizer trained on the packaged corpus."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    texts = [row.values["text"] for row in read_corpus("sentiment").rows]
    tokenizer.train_from_iterator(texts, WordPieceTrainer(vocab_size=1000, special_tokens=SPECIAL))
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(fast), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=128,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def write_reviews(path: Path, rows: int = 120) -> Path:
    """A CSV of positive and negative one-liners."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(rows):
            word = (GOOD if number % 2 else BAD)[number // 2 % 6]
            thing = THINGS[number % len(THINGS)]
            writer.writerow(
                [f"The {thing} number {number} was {word}.", "positive" if number % 2 else "negative"]
            )
    return path
