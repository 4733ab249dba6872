"""The service's settings, from the environment: AASAAN_SERVE_PORT=9000 and so on."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator may set. Sizes are per request, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="AASAAN_SERVE_", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on; loopback by default.")
    port: int = Field(8000, ge=1, le=65535)
    bundles: list[Path] = Field(
        default_factory=list, description="Serve these bundles; empty: every task's champion."
    )
    threads: int | None = Field(None, ge=1, description="CPU threads of an engine; null: all cores.")
    batch_tokens: int = Field(2048, ge=16, description="Tokens, padding included, of one engine batch.")
    queue_items: int = Field(2048, ge=1, description="Texts that may wait; beyond it the answer is 429.")
    max_items: int = Field(256, ge=1, description="Texts in one request.")
    max_text_bytes: int = Field(200_000, ge=1, description="UTF-8 bytes of one text.")
    max_body_bytes: int = Field(2_000_000, ge=1, description="Bytes of one request.")
