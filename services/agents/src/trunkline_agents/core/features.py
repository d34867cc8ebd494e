"""Text as hashed n-grams: characters 2 to 5 within words, and words 1 to 2. No vocabulary has to be kept."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

DIMENSIONS: Final = 1 << 14
_WORD: Final = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_SHORTEST, _LONGEST = 2, 5


def words(text: str) -> list[str]:
    """Words of a text, in lower case."""
    return _WORD.findall(text.lower())


def ngrams(text: str) -> list[str]:
    """All n-grams of a text; character n-grams carry the words' borders."""
    found = words(text)
    grams = [f"w:{word}" for word in found]
    grams += [f"w:{first} {second}" for first, second in pairwise(found)]
    for word in found:
        bordered = f" {word} "
        for size in range(_SHORTEST, _LONGEST + 1):
            grams += [bordered[start : start + size] for start in range(len(bordered) - size + 1)]
    return grams


def counts(text: str) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Hashed n-grams of a text: which dimensions, and 1 + log(how often)."""
    hashed = Counter(crc32(gram.encode()) % DIMENSIONS for gram in ngrams(text))
    dimensions = np.fromiter(hashed.keys(), dtype=np.intp, count=len(hashed))
    values = 1.0 + np.log(np.fromiter(hashed.values(), dtype=np.float64, count=len(hashed)))
    return dimensions, values
