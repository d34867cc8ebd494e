"""The routing artefact: a serialised routing model, versioned by the training data it was made from."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from itertools import chain
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from trunkline_protocols.decoding import Decoder
from trunkline_protocols.fleet import Agent, Fleet

from trunkline_agents.core.intents.examples import BuiltInExamples, labelled_examples
from trunkline_agents.core.intents.model import IntentModel, NearestAlarms
from trunkline_agents.core.routing.classifier import Classifier, EmbeddingModel, ExampleIndex, LinearModel
from trunkline_agents.core.routing.examples import ConversationExample, parse_conversation

_FORMAT: Final = 7
"""Incremented with the layout and with the training procedure: thresholds are valid for the scores they come from."""


_MAX_BYTES: Final = 256 * 1024 * 1024


class RoutingModel(msgspec.Struct, frozen=True):
    """Models of specialty, agent and intent, and the scope thresholds: by n-grams alone, and with an embedding."""

    version: str
    by_specialty: Classifier
    by_agent: Classifier
    intents: IntentModel
    scope_threshold: float
    embedding_scope_threshold: float


class UnreadableArtefactError(ValueError):
    """The bytes are not an artefact of the supported format."""


class _Matrix(msgspec.Struct, frozen=True):
    """A matrix of half-precision floats, row by row: precise enough to rank classes, at half the size."""

    shape: tuple[int, int]
    values: bytes


class _PackedExamples(msgspec.Struct, frozen=True):
    embeddings: _Matrix
    starts: list[int]
    weight: float


class _PackedClassifier(msgspec.Struct, frozen=True):
    classes: list[str]
    dimensions: bytes
    idf: bytes
    class_bits: bytes
    weights: list[_Matrix]
    """By n-grams, then by embedding if the classifier uses one."""
    biases: list[list[float]]
    examples: _PackedExamples | None


class _PackedIntents(msgspec.Struct, frozen=True):
    classes: list[str]
    dimensions: bytes
    idf: bytes
    weights: list[_Matrix]
    """By n-grams, then by embedding if the model uses one."""
    biases: list[list[float]]
    alarms: list[str]
    examples: _Matrix | None


class _Artefact(msgspec.Struct, frozen=True):
    format: int
    version: str
    by_specialty: _PackedClassifier
    by_agent: _PackedClassifier
    intents: _PackedIntents
    scope_threshold: float
    embedding_scope_threshold: float


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = Decoder[_Artefact](_Artefact, binary=True)


def training_examples(agent: Agent) -> list[ConversationExample]:
    """Return the training examples of an agent: its examples, its title and its conversations."""
    return [
        *(ConversationExample(text) for text in (*agent.examples, agent.title)),
        *(parse_conversation(source) for source in agent.conversations),
    ]


def artefact_version(fleet: Fleet, embedder: str, built_in: BuiltInExamples) -> str:
    """Return the artefact version of a fleet: a hash of format, embedder, agents and all training examples."""
    parts: Sequence[str] = [
        str(_FORMAT),
        embedder,
        *(
            part
            for agent in fleet.agents
            for part in ("\x01", agent.name, agent.specialty, *chain(*training_examples(agent)))
        ),
        "\x02",
        *chain(*labelled_examples(fleet, built_in)),
    ]
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]


def encode(model: RoutingModel) -> bytes:
    """Serialise a model."""
    artefact = _Artefact(
        format=_FORMAT,
        version=model.version,
        by_specialty=_pack(model.by_specialty),
        by_agent=_pack(model.by_agent),
        intents=_pack_intents(model.intents),
        scope_threshold=model.scope_threshold,
        embedding_scope_threshold=model.embedding_scope_threshold,
    )
    return zlib.compress(_encoder.encode(artefact), level=6)


def decode(payload: bytes) -> RoutingModel:
    """Deserialise a model; raise `UnreadableArtefactError` if the payload is not a valid artefact."""
    try:
        artefact = _decoder.decode(_decompress(payload))
        if artefact.format != _FORMAT:
            raise UnreadableArtefactError(f"unsupported format {artefact.format}, expected {_FORMAT}")
        return RoutingModel(
            artefact.version,
            _unpack(artefact.by_specialty),
            _unpack(artefact.by_agent),
            _unpack_intents(artefact.intents),
            artefact.scope_threshold,
            artefact.embedding_scope_threshold,
        )
    except (zlib.error, ValueError, IndexError) as error:
        raise UnreadableArtefactError(str(error)) from error


def _decompress(payload: bytes) -> bytes:
    """Decompress up to the limit, so that a damaged or forged artefact cannot exhaust the memory."""
    stream = zlib.decompressobj()
    content = stream.decompress(payload, _MAX_BYTES)
    if not stream.eof:
        raise UnreadableArtefactError("truncated, or larger than the limit")
    return content


def _pack(classifier: Classifier) -> _PackedClassifier:
    embedding = classifier.embedding
    models = [classifier.ngrams, embedding.linear] if embedding is not None else [classifier.ngrams]
    examples = embedding.examples if embedding is not None else None
    return _PackedClassifier(
        classes=classifier.classes,
        dimensions=_pack_dimensions(classifier.dimensions),
        idf=classifier.idf.astype(np.float16).tobytes(),
        class_bits=classifier.class_bits.tobytes(),
        weights=[_pack_matrix(model.weights) for model in models],
        biases=[model.bias.tolist() for model in models],
        examples=_pack_examples(examples) if examples is not None else None,
    )


def _pack_examples(examples: ExampleIndex) -> _PackedExamples:
    return _PackedExamples(_pack_matrix(examples.embeddings), examples.starts.tolist(), examples.weight)


def _pack_intents(model: IntentModel) -> _PackedIntents:
    models = [model.ngrams] if model.embedding is None else [model.ngrams, model.embedding]
    nearest = model.nearest
    return _PackedIntents(
        classes=model.classes,
        dimensions=_pack_dimensions(model.dimensions),
        idf=model.idf.astype(np.float16).tobytes(),
        weights=[_pack_matrix(each.weights) for each in models],
        biases=[each.bias.tolist() for each in models],
        alarms=nearest.intents if nearest is not None else [],
        examples=_pack_matrix(nearest.embeddings) if nearest is not None else None,
    )


def _unpack_intents(packed: _PackedIntents) -> IntentModel:
    models = _unpack_models(packed.weights, packed.biases)
    return IntentModel(
        packed.classes,
        _unpack_dimensions(packed.dimensions),
        _unpack_floats(packed.idf),
        models[0],
        models[1] if len(models) > 1 else None,
        NearestAlarms(packed.alarms, _unpack_matrix(packed.examples)) if packed.examples is not None else None,
    )


def _pack_dimensions(dimensions: NDArray[np.int32]) -> bytes:
    return np.diff(dimensions, prepend=0).astype(np.int32).tobytes()


def _unpack_dimensions(packed: bytes) -> NDArray[np.int32]:
    return np.cumsum(np.frombuffer(packed, dtype=np.int32)).astype(np.int32)


def _unpack_models(matrices: list[_Matrix], biases: list[list[float]]) -> list[LinearModel]:
    return [
        LinearModel(_unpack_matrix(matrix), np.array(bias, dtype=np.float32))
        for matrix, bias in zip(matrices, biases, strict=True)
    ]


def _pack_matrix(values: NDArray[np.float32]) -> _Matrix:
    return _Matrix((values.shape[0], values.shape[1]), values.astype(np.float16).tobytes())


def _unpack(packed: _PackedClassifier) -> Classifier:
    models = _unpack_models(packed.weights, packed.biases)
    examples = None
    if packed.examples is not None:
        starts = np.array(packed.examples.starts, dtype=np.int32)
        examples = ExampleIndex(_unpack_matrix(packed.examples.embeddings), starts, packed.examples.weight)
    return Classifier(
        packed.classes,
        _unpack_dimensions(packed.dimensions),
        _unpack_floats(packed.idf),
        np.frombuffer(packed.class_bits, dtype=np.uint8).reshape(-1, -(-len(packed.classes) // 8)),
        models[0],
        EmbeddingModel(models[1], examples) if len(models) > 1 else None,
    )


def _unpack_matrix(matrix: _Matrix) -> NDArray[np.float32]:
    return _unpack_floats(matrix.values).reshape(matrix.shape)


def _unpack_floats(values: bytes) -> NDArray[np.float32]:
    return np.frombuffer(values, dtype=np.float16).astype(np.float32)
