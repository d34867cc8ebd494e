"""Settings of the embedder, shared by all processes that embed."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from trunkline_embedding.choice import EmbedderChoice


class EmbedderSettings(BaseSettings):
    """Choice of the embedder and its options. The default uses the installed weights of MiniLM, if there are any."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    embedder: str = Field(
        "auto",
        description="auto (minilm if its weights are installed, else lexical), lexical, minilm or remote; also "
        "minilm:DIR or remote:URL",
    )
    embedder_dir: Path | None = Field(None, description="Directory of another minilm model (safetensors, tokenizer)")
    embedder_url: str = Field("", description="Address of an OpenAI-compatible embedding service, up to /v1")
    embedder_model: str = Field("", description="Model of the embedding service")
    embedder_key: SecretStr = Field(SecretStr(""), description="API key of the embedding service")

    def embedder_choice(self, name: str = "") -> EmbedderChoice:
        """Return the choice; `name` overrides the setting."""
        return EmbedderChoice(
            name or self.embedder,
            self.embedder_dir,
            self.embedder_url,
            self.embedder_model,
            self.embedder_key.get_secret_value(),
        )
