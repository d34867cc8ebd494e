"""A sentence encoder of the MiniLM kind in this process: int8 weights in onnxruntime, made once from safetensors.

The directory is the user's: `model.safetensors`, `config.json`, `tokenizer.json`. The graph made from it stands beside
them (or in a folder of ours, where that one is read-only), named by the weights' sha256, with its own sha256 kept.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from onnxruntime import InferenceSession, SessionOptions
from tokenizers import Tokenizer

from trunkline_embedding.bert import BertConfig, UnsupportedModelError, build
from trunkline_embedding.port import EmbeddingError, Vectors

_FILES: Final = ("model.safetensors", "config.json", "tokenizer.json")
_MOST_TOKENS: Final = 256


class _Made(msgspec.Struct, frozen=True):
    """What is kept of a graph that was made: of which weights, and what came out."""

    weights_sha256: str
    graph_sha256: str


class MinilmEmbedder:
    """Embeds one text at a time: batches make int8 no faster."""

    def __init__(self, directory: Path, *, made_in: Path | None = None) -> None:
        """Open the model, making its graph where that has not been done yet."""
        directory = _model_directory(directory)
        try:
            config = msgspec.json.decode((directory / "config.json").read_bytes(), type=BertConfig)
            graph, weights_sha256 = _graph(directory, config, made_in)
        except (OSError, msgspec.DecodeError, UnsupportedModelError) as error:
            raise EmbeddingError(f"{directory}: {error}", retryable=False) from error
        self.name = f"minilm-{weights_sha256[:16]}"
        self.dimensions = config.hidden_size
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(min(_MOST_TOKENS, config.max_position_embeddings))
        options = SessionOptions()
        # Several processes share the cores: threads inside each would only fight.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Run the encoder."""
        rows = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for number, text in enumerate(texts):
            ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
            mask = np.ones(ids.shape, dtype=np.float32)
            rows[number] = self._session.run(None, {"ids": ids, "mask": mask})[0][0]
        return rows


def _model_directory(named: Path) -> Path:
    """Find the model's files in the folder that was named, or in the one folder below it that has them."""
    for candidate in [named, *sorted({file.parent for file in named.glob("**/model.safetensors")})]:
        if all((candidate / name).is_file() for name in _FILES):
            return candidate
    raise EmbeddingError(f"{named}: no folder with {', '.join(_FILES)}", retryable=False)


def _graph(directory: Path, config: BertConfig, made_in: Path | None) -> tuple[Path, str]:
    """Return the graph of these weights, made anew when it is missing or not what was made."""
    weights = directory / "model.safetensors"
    weights_sha256 = _sha256(weights)
    folder = made_in or (directory if os.access(directory, os.W_OK) else Path.home() / ".cache" / "trunkline")
    folder.mkdir(parents=True, exist_ok=True)
    graph = folder / f"model-int8-{weights_sha256[:16]}.onnx"
    note = graph.with_suffix(".json")
    if graph.is_file() and note.is_file():
        made = msgspec.json.decode(note.read_bytes(), type=_Made)
        if made == _Made(weights_sha256, _sha256(graph)):
            return graph, weights_sha256
    build(weights, config, graph)
    note.write_bytes(msgspec.json.encode(_Made(weights_sha256, _sha256(graph))))
    return graph, weights_sha256


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
