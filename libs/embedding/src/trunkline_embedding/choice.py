"""Choice of the embedder by a setting or a command's option."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trunkline_embedding.batches import BatchedEmbedder
from trunkline_embedding.port import Embedder, EmbeddingError

LEXICAL: Final = "lexical"
_MINILM: Final = "minilm"
_REMOTE: Final = "remote"


@dataclass(frozen=True, slots=True)
class EmbedderChoice:
    """An embedder and its options; `name` is lexical, minilm, remote, `minilm:DIR` or `remote:URL`."""

    name: str = LEXICAL
    directory: Path | None = None
    url: str = ""
    model: str = ""
    key: str = field(default="", repr=False)

    @property
    def is_lexical(self) -> bool:
        """Return whether texts are compared by their words only."""
        return self.name == LEXICAL


def open_embedder(choice: EmbedderChoice, *, middle_layer: bool = False) -> Embedder | None:
    """Open the embedder; return None for `lexical`, whose words are weighted by the index instead of embedded.

    `middle_layer` requests vectors of double length that separate similar classes better; a remote service ignores it.
    Raises `EmbeddingError` if an option is missing.
    """
    kind, _, location = choice.name.partition(":")
    if kind == LEXICAL:
        return None
    if kind == _MINILM or Path(choice.name).is_dir():
        directory = Path(location) if location else Path(choice.name) if kind != _MINILM else choice.directory
        if directory is None:
            raise EmbeddingError("minilm: the model's directory is missing", retryable=False)
        # Imported here, since the runtime takes tens of megabytes that the default does not need.
        from trunkline_embedding.minilm import MinilmEmbedder  # noqa: PLC0415

        return MinilmEmbedder(directory, middle_layer=middle_layer)
    if kind == _REMOTE:
        url = location or choice.url
        if not url or not choice.model:
            raise EmbeddingError("remote: the service's address or its model is missing", retryable=False)
        from trunkline_embedding.remote import RemoteEmbedder  # noqa: PLC0415

        return BatchedEmbedder(RemoteEmbedder(url, choice.model, key=choice.key))
    raise EmbeddingError(f"embedder {choice.name!r} must be one of: lexical, minilm, remote", retryable=False)
