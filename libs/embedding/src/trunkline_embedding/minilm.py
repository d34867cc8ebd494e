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
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions
from tokenizers import Tokenizer

from trunkline_embedding.bert import BertConfig, UnsupportedModelError, encoder
from trunkline_embedding.port import EmbeddingError, Vectors
from trunkline_embedding.quantisation import write_quantised

_FILES: Final = ("model.safetensors", "config.json", "tokenizer.json")
_MOST_TOKENS: Final = 256

_EDITION: Final = 2
"""Of how a graph is made: vectors of two editions are near each other, and still not the same."""

_SAMPLES: Final = (
    "My order has not arrived and the tracking page says nothing.",
    "I was charged twice for the same thing, please refund one of the payments!",
    "How do I reset my password?",
    "what's the weather like in Paris tomorrow",
    "Can I talk to a human being? This is the third time that I ask.",
    "ok thanks",
    "The invoice of 12 March 2024 shows $1,299.00 instead of €999.",
    "Top up by card is pending, why was my transfer declined?",
    "Wie kann ich mein Abonnement kündigen?",
    "The device does not turn on; the light blinks red three times, then it goes dark again.",
    "is the shop open on sundays",
    "Our warranty covers defects in material and workmanship for two years from the date of purchase.",
)
"""Texts that show which channels of a model are outliers; the same few ones are with every text."""


class _Made(msgspec.Struct, frozen=True):
    """What is kept of a graph that was made: of which weights, and what came out."""

    weights_sha256: str
    graph_sha256: str


class MinilmEmbedder:
    """Embeds one text at a time: batches make int8 no faster."""

    def __init__(self, directory: Path, *, middle_layer: bool = False, made_in: Path | None = None) -> None:
        """Open the model, making its graph where that has not been done yet.

        With `middle_layer` a vector is followed by the one of the model's middle layer, and both have length one
        together.
        """
        directory = _model_directory(directory)
        try:
            config = msgspec.json.decode((directory / "config.json").read_bytes(), type=BertConfig)
            self._tokenizer = _tokenizer(directory, config)
            graph, weights_sha256 = self._graph(directory, config, made_in)
        except (OSError, msgspec.DecodeError, UnsupportedModelError) as error:
            raise EmbeddingError(f"{directory}: {error}", retryable=False) from error
        self._outputs = ["embedding", "middle"] if middle_layer else ["embedding"]
        self.name = f"minilm-{weights_sha256[:16]}-{_EDITION}{'-middle' if middle_layer else ''}"
        self.dimensions = config.hidden_size * len(self._outputs)
        options = SessionOptions()
        # Several processes share the cores: threads inside each would only fight.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # The fused operator takes four times as long as the two that it stands for (onnxruntime 1.32, 15 tokens).
        self._session = InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
        )

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Run the encoder."""
        rows = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for number, text in enumerate(texts):
            rows[number] = np.concatenate(self._session.run(self._outputs, self._inputs(text)), axis=1)[0]
        return rows / np.float32(np.sqrt(len(self._outputs)))

    def _inputs(self, text: str) -> dict[str, NDArray[np.generic]]:
        return {"ids": np.array([self._tokenizer.encode(text).ids], dtype=np.int64)}

    def _graph(self, directory: Path, config: BertConfig, made_in: Path | None) -> tuple[Path, str]:
        """Return the graph of these weights, made anew when it is missing or not what was made."""
        weights = directory / "model.safetensors"
        weights_sha256 = _sha256(weights)
        folder = made_in or (directory if os.access(directory, os.W_OK) else Path.home() / ".cache" / "trunkline")
        folder.mkdir(parents=True, exist_ok=True)
        graph = folder / f"model-int8-{weights_sha256[:16]}-{_EDITION}.onnx"
        note = graph.with_suffix(".json")
        if graph.is_file() and note.is_file():
            made = msgspec.json.decode(note.read_bytes(), type=_Made)
            if made == _Made(weights_sha256, _sha256(graph)):
                return graph, weights_sha256
        write_quantised(encoder(weights, config), [self._inputs(text) for text in _SAMPLES], graph)
        note.write_bytes(msgspec.json.encode(_Made(weights_sha256, _sha256(graph))))
        return graph, weights_sha256


def _tokenizer(directory: Path, config: BertConfig) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(_MOST_TOKENS, config.max_position_embeddings))
    return tokenizer


def _model_directory(named: Path) -> Path:
    """Find the model's files in the folder that was named, or in the one folder below it that has them."""
    for candidate in [named, *sorted({file.parent for file in named.glob("**/model.safetensors")})]:
        if all((candidate / name).is_file() for name in _FILES):
            return candidate
    raise EmbeddingError(f"{named}: no folder with {', '.join(_FILES)}", retryable=False)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
