"""Which embedder: as a setting or an option of a command names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline_embedding.batching import GroupedEmbedder
from trunkline_embedding.port import Embedder, EmbeddingError

LEXICAL: Final = "lexical"
_MINILM: Final = "minilm"
_REMOTE: Final = "remote"


@dataclass(frozen=True, slots=True)
class EmbedderChoice:
    """`name` is lexical, minilm or remote; `minilm:DIR` and `remote:URL` carry their place with them."""

    name: str = LEXICAL
    directory: Path | None = None
    url: str = ""
    model: str = ""
    key: str = ""

    @property
    def is_lexical(self) -> bool:
        """Nothing but the words themselves."""
        return self.name == LEXICAL


def open_embedder(choice: EmbedderChoice, *, middle_layer: bool = False) -> Embedder | None:
    """Open the embedder; None for `lexical`: words are weighed where they are searched, not embedded.

    `middle_layer` wants vectors that tell near classes apart better, twice as long; a service has its own only.
    Raises `EmbeddingError` with what is missing.
    """
    kind, _, place = choice.name.partition(":")
    if kind == LEXICAL:
        return None
    if kind == _MINILM or Path(choice.name).is_dir():
        named = Path(place) if place else Path(choice.name) if kind != _MINILM else choice.directory
        if named is None:
            raise EmbeddingError("minilm: name the model's directory", retryable=False)
        # Here, because the runtime costs tens of megabytes that the default does not need.
        from trunkline_embedding.minilm import MinilmEmbedder  # noqa: PLC0415

        return MinilmEmbedder(named, middle_layer=middle_layer)
    if kind == _REMOTE:
        url = place or choice.url
        if not url or not choice.model:
            raise EmbeddingError("remote: name the service's address and its model", retryable=False)
        from trunkline_embedding.remote import RemoteEmbedder  # noqa: PLC0415

        return GroupedEmbedder(RemoteEmbedder(url, choice.model, key=choice.key))
    raise EmbeddingError(f"{choice.name!r} is none of lexical, minilm, remote", retryable=False)
