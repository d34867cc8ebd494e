"""Choice of the embedder by a setting or a command's option."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from trunkline_embedding.batches import BatchedEmbedder
from trunkline_embedding.port import Embedder, EmbeddingError
from trunkline_embedding.weights import installed_weights, weights_sha256

AUTO: Final = "auto"
LEXICAL: Final = "lexical"
_MINILM: Final = "minilm"
_REMOTE: Final = "remote"


@dataclass(frozen=True, slots=True)
class EmbedderChoice:
    """An embedder and its options; `name` is auto, lexical, minilm, remote, `minilm:DIR` or `remote:URL`.

    `auto` is minilm if its weights are installed, else lexical.
    """

    name: str = LEXICAL
    directory: Path | None = None
    url: str = ""
    model: str = ""
    key: str = field(default="", repr=False)

    @property
    def kind(self) -> str:
        """Return lexical, minilm or remote; raise `EmbeddingError` for any other name."""
        kind, _, _ = self.name.partition(":")
        if kind == AUTO:
            return _MINILM if self._weights is not None else LEXICAL
        if kind in {LEXICAL, _MINILM, _REMOTE}:
            return kind
        if Path(self.name).is_dir():
            return _MINILM
        reason = f"embedder {self.name!r} must be one of: auto, lexical, minilm, remote"
        raise EmbeddingError(reason, retryable=False)

    @property
    def is_lexical(self) -> bool:
        """Return whether texts are compared by their words only."""
        return self.kind == LEXICAL

    @property
    def weights(self) -> Path:
        """Return the directory of the minilm model; raise `EmbeddingError` without one."""
        found = self._weights
        if found is None:
            raise EmbeddingError("minilm: its weights are not installed, and no directory is set", retryable=False)
        return found

    @property
    def fingerprint(self) -> str:
        """Return a name of the model without opening it: other weights have another one."""
        if self.is_lexical:
            return LEXICAL
        if self.kind == _MINILM:
            return f"minilm-{weights_sha256(self.weights)[:16]}"
        return f"remote-{urlsplit(self.address).hostname}-{self.model}"

    @property
    def _weights(self) -> Path | None:
        kind, _, location = self.name.partition(":")
        if location:
            return Path(location)
        return self.directory or installed_weights() if kind in {AUTO, _MINILM} else Path(self.name)

    @property
    def address(self) -> str:
        """Return the address of the remote service, up to /v1."""
        return self.name.partition(":")[2] or self.url


def open_embedder(choice: EmbedderChoice) -> Embedder | None:
    """Open the embedder; return None for `lexical`, whose words are weighted by the index instead of embedded.

    Raises `EmbeddingError` if an option is missing.
    """
    if choice.is_lexical:
        return None
    if choice.kind == _MINILM:
        # Imported here, since the runtime takes tens of megabytes that other embedders do not need.
        from trunkline_embedding.minilm import MinilmEmbedder  # noqa: PLC0415

        return MinilmEmbedder(choice.weights)
    url = choice.address
    if not url or not choice.model:
        raise EmbeddingError("remote: the service's address or its model is missing", retryable=False)
    from trunkline_embedding.remote import RemoteEmbedder  # noqa: PLC0415

    return BatchedEmbedder(RemoteEmbedder(url, choice.model, key=choice.key))
