"""The settings of every task, light to import so that a config is checked before torch is loaded."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class SentimentSettings(BaseModel):
    """Classification of a text into one of `labels`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["sentiment"]
    labels: list[str] = Field(
        ["negative", "neutral", "positive"], min_length=2, description="In the order of the logits."
    )
    max_length: int = Field(128, ge=8, le=8192, description="Tokens; longer texts are truncated and counted.")
    pooling: Literal["mean", "cls", "max"] = Field(
        "mean", description="How token vectors become one text vector."
    )
    hidden: int | None = Field(None, ge=1, description="Width of a tanh layer in the head, if any.")
    dropout: float = Field(0.1, ge=0, lt=1, description="In the head.")

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: list[str]) -> list[str]:
        if len(set(labels)) != len(labels):
            raise ValueError("labels must differ from each other")
        return labels
