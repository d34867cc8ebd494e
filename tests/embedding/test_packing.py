"""Vectors as bytes: the direction is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from trunkline_embedding import pack, pack_vector, unpack, unpack_vector


@given(arrays(np.float32, (3, 24), elements=st.floats(-1, 1, width=32)))
def test_direction_is_kept(values: np.ndarray) -> None:
    """The cosine to the original is above 0.99 for vectors that are not zero."""
    lengths = np.linalg.norm(values, axis=1)
    unpacked = unpack(pack(values))
    for row, length, found in zip(values, lengths, unpacked, strict=True):
        if length > 1e-3:
            assert float(row @ found) / length > 0.99


@given(arrays(np.float32, (1, 24), elements=st.floats(-1, 1, width=32)), st.sampled_from([0, 9, 24]))
def test_single_vector_is_packed_and_unpacked_as_several_are(values: np.ndarray, dimensions: int) -> None:
    """To the last bit."""
    packed = pack_vector(values[0])
    assert packed == pack(values)[0]
    assert unpack_vector(packed, dimensions).tolist() == unpack([packed], dimensions)[0].tolist()


def test_first_part_of_a_longer_vector_is_normalised() -> None:
    """A message vector starts with the sentence vector."""
    packed = pack(np.array([[3.0, 4.0, 7.0]], dtype=np.float32))
    assert np.allclose(unpack(packed, 2), [[0.6, 0.8]], atol=0.01)
    assert unpack(b"".join(pack(np.eye(2, dtype=np.float32))), 2).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert unpack([], 2).shape == (0, 2)


def test_shorter_vector_is_refused() -> None:
    """It is of another model."""
    with pytest.raises(ValueError, match="fewer than 4"):
        unpack([b"\x01\x02"], 4)
    with pytest.raises(ValueError, match="fewer than 4"):
        unpack_vector(b"\x01\x02", 4)
