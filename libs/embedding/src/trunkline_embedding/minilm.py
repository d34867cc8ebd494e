"""MiniLM sentence encoder in this process: int8 weights in onnxruntime, converted once from safetensors.

The user provides a directory with `model.safetensors`, `config.json` and `tokenizer.json`. The converted graph is
stored beside them, or in `~/.cache/trunkline` if that directory is read-only. Its name contains the sha256 of the
weights, and its own sha256 is recorded.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions
from tokenizers import Tokenizer
from trunkline_protocols.decoding import DecodeError, decode

from trunkline_embedding.model_config import BertConfig, UnsupportedModelError
from trunkline_embedding.port import EmbeddingError, Vectors
from trunkline_embedding.weights import WEIGHT_FILES, file_sha256, weights_sha256

_MAX_TOKENS: Final = 256

_QUICK_CHARACTERS: Final = 120
"""Some 25 tokens, which take one to two milliseconds: most messages of customers are shorter."""

_CONVERSION_VERSION: Final = 2
"""Version of the conversion; vectors of different versions are similar but not comparable."""

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
"""Calibration texts that reveal a model's outlier channels, which are the same few for every text."""


class _ConversionRecord(msgspec.Struct, frozen=True):
    """Hashes of a conversion's input and output."""

    weights_sha256: str
    graph_sha256: str


class MinilmEmbedder:
    """Embedder that runs one text at a time, since batches do not speed up int8."""

    def __init__(self, directory: Path, *, graph_folder: Path | None = None) -> None:
        """Open the model, and convert it first if there is no graph yet."""
        directory = _model_directory(directory)
        try:
            config = decode((directory / "config.json").read_bytes(), BertConfig)
            self._tokenizer = _tokenizer(directory, config)
            graph, digest = self._graph(directory, config, graph_folder)
        except (OSError, DecodeError, UnsupportedModelError) as error:
            raise EmbeddingError(f"{directory}: {error}", retryable=False) from error
        self._outputs = ["embedding"]
        self.vocabulary = frozenset(word for word in self._tokenizer.get_vocab() if word.isalpha())
        self.name = f"minilm-{digest[:16]}-{_CONVERSION_VERSION}"
        self.dimensions = config.hidden_size
        self.quick_characters = _QUICK_CHARACTERS
        options = SessionOptions()
        # Several processes share the cores: threads inside each would only compete.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # The fused operator takes four times as long as the two that it replaces (onnxruntime 1.32, 15 tokens).
        self._session = InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
        )

    def with_middle_layer(self) -> MinilmEmbedder:
        """Return an embedder in the same memory that appends the middle layer, normalised together."""
        layered = copy.copy(self)
        layered._outputs = ["embedding", "middle"]  # noqa: SLF001 - a copy of the same class
        layered.name = f"{self.name}-middle"
        layered.dimensions = 2 * self.dimensions
        return layered

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row per text."""
        rows = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for number, text in enumerate(texts):
            rows[number] = np.concatenate(self._session.run(self._outputs, self._inputs(text)), axis=1)[0]
        return rows / np.float32(np.sqrt(len(self._outputs)))

    def _inputs(self, text: str) -> dict[str, NDArray[np.generic]]:
        return {"ids": np.array([self._tokenizer.encode(text).ids], dtype=np.int64)}

    def _graph(self, directory: Path, config: BertConfig, graph_folder: Path | None) -> tuple[Path, str]:
        """Return the graph and the hash of the weights; convert again if the graph is missing or has changed."""
        digest = weights_sha256(directory)
        folder = graph_folder or (directory if os.access(directory, os.W_OK) else Path.home() / ".cache" / "trunkline")
        folder.mkdir(parents=True, exist_ok=True)
        graph = folder / f"model-int8-{digest[:16]}-{_CONVERSION_VERSION}.onnx"
        record = graph.with_suffix(".json")
        if graph.is_file() and record.is_file():
            with contextlib.suppress(DecodeError):  # a damaged record: convert again
                if decode(record.read_bytes(), _ConversionRecord) == _ConversionRecord(digest, file_sha256(graph)):
                    return graph, digest
        # Imported here: the libraries of the conversion take 60 MiB that an installed graph does not need.
        from trunkline_embedding.bert import encoder  # noqa: PLC0415
        from trunkline_embedding.quantisation import write_quantised  # noqa: PLC0415

        model = encoder(directory / "model.safetensors", config)
        write_quantised(model, [self._inputs(text) for text in _SAMPLES], graph)
        record.write_bytes(msgspec.json.encode(_ConversionRecord(digest, file_sha256(graph))))
        return graph, digest


def _tokenizer(directory: Path, config: BertConfig) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(_MAX_TOKENS, config.max_position_embeddings))
    return tokenizer


def _model_directory(root: Path) -> Path:
    """Return the folder with the model's files: `root`, or the first folder below it that has all of them."""
    for candidate in [root, *sorted({file.parent for file in root.glob("**/model.safetensors")})]:
        if all((candidate / name).is_file() for name in WEIGHT_FILES):
            return candidate
    raise EmbeddingError(f"{root}: no folder with {', '.join(WEIGHT_FILES)}", retryable=False)
