"""The routing artefact: what training a fleet's examples has left, as bytes, named by what it was trained from."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from itertools import chain
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from trunkline_protocols.fleet import Agent, Fleet

from trunkline_agents.core.routing.classifier import Classifier, Examples, LinearPart, VectorPart
from trunkline_agents.core.routing.examples import ConversationExample, read_conversation

_FORMAT: Final = 4
"""Grows with what training does as well: floors of one training fit its own scores only."""


class RoutingModel(msgspec.Struct, frozen=True):
    """Both levels and the scope. `floor` is a familiarity by n-grams alone, `vector_floor` one with the vector."""

    version: str
    by_specialty: Classifier
    by_agent: Classifier
    floor: float
    vector_floor: float


class UnreadableArtefactError(ValueError):
    """These bytes are no artefact of this version of Trunkline."""


class _Matrix(msgspec.Struct, frozen=True):
    """Halves of floats, in rows: precise enough for a choice, and half as long."""

    shape: tuple[int, int]
    values: bytes


class _Examples(msgspec.Struct, frozen=True):
    vectors: _Matrix
    starts: list[int]
    share: float


class _Classifier(msgspec.Struct, frozen=True):
    classes: list[str]
    dimensions: bytes
    rarity: bytes
    owners: bytes
    weights: list[_Matrix]
    """By n-grams, and by vector where there is one."""
    biases: list[list[float]]
    examples: _Examples | None


class _Artefact(msgspec.Struct, frozen=True):
    format: int
    version: str
    by_specialty: _Classifier
    by_agent: _Classifier
    floor: float
    vector_floor: float


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Artefact)


def lessons(agent: Agent) -> list[ConversationExample]:
    """Return what an agent teaches the routing: its examples, its title as one more, and its conversations."""
    return [
        *(ConversationExample(text) for text in (*agent.examples, agent.title)),
        *(read_conversation(written) for written in agent.conversations),
    ]


def version_of(fleet: Fleet, embedder: str) -> str:
    """Name the artefact of a fleet: another example, agent, embedder or format is another version."""
    parts: Sequence[str] = [
        str(_FORMAT),
        embedder,
        *(part for agent in fleet.agents for part in ("\x01", agent.name, agent.specialty, *chain(*lessons(agent)))),
    ]
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]


def encode(model: RoutingModel) -> bytes:
    """Write an artefact."""
    written = _Artefact(
        format=_FORMAT,
        version=model.version,
        by_specialty=_packed(model.by_specialty),
        by_agent=_packed(model.by_agent),
        floor=model.floor,
        vector_floor=model.vector_floor,
    )
    return zlib.compress(_encoder.encode(written), level=6)


def decode(payload: bytes) -> RoutingModel:
    """Read an artefact; raise `UnreadableArtefactError` for anything else."""
    try:
        read = _decoder.decode(zlib.decompress(payload))
        if read.format != _FORMAT:
            raise UnreadableArtefactError(f"format {read.format}, this version reads {_FORMAT}")
        return RoutingModel(
            read.version, _unpacked(read.by_specialty), _unpacked(read.by_agent), read.floor, read.vector_floor
        )
    except (zlib.error, msgspec.DecodeError, ValueError, IndexError) as error:
        raise UnreadableArtefactError(str(error)) from error


def _packed(classifier: Classifier) -> _Classifier:
    vector = classifier.vector
    parts = [classifier.ngrams, vector.borders] if vector is not None else [classifier.ngrams]
    return _Classifier(
        classes=classifier.classes,
        dimensions=np.diff(classifier.dimensions, prepend=0).astype(np.int32).tobytes(),
        rarity=classifier.rarity.astype(np.float16).tobytes(),
        owners=classifier.owners.tobytes(),
        weights=[_matrix(part.weights) for part in parts],
        biases=[part.bias.tolist() for part in parts],
        examples=_packed_examples(vector.examples) if vector is not None and vector.examples is not None else None,
    )


def _packed_examples(examples: Examples) -> _Examples:
    return _Examples(_matrix(examples.vectors), examples.starts.tolist(), examples.share)


def _matrix(values: NDArray[np.float32]) -> _Matrix:
    return _Matrix((values.shape[0], values.shape[1]), values.astype(np.float16).tobytes())


def _unpacked(packed: _Classifier) -> Classifier:
    parts = [
        LinearPart(_floats(matrix), np.array(bias, dtype=np.float32))
        for matrix, bias in zip(packed.weights, packed.biases, strict=True)
    ]
    examples = None
    if packed.examples is not None:
        starts = np.array(packed.examples.starts, dtype=np.int32)
        examples = Examples(_floats(packed.examples.vectors), starts, packed.examples.share)
    return Classifier(
        packed.classes,
        np.cumsum(np.frombuffer(packed.dimensions, dtype=np.int32)).astype(np.int32),
        _halves(packed.rarity),
        np.frombuffer(packed.owners, dtype=np.uint8).reshape(-1, -(-len(packed.classes) // 8)),
        parts[0],
        VectorPart(parts[1], examples) if len(parts) > 1 else None,
    )


def _floats(matrix: _Matrix) -> NDArray[np.float32]:
    return _halves(matrix.values).reshape(matrix.shape)


def _halves(values: bytes) -> NDArray[np.float32]:
    return np.frombuffer(values, dtype=np.float16).astype(np.float32)
