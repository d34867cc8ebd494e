"""The scope: how familiar a message must be for it to be a question to this fleet at all."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

FALSE_REJECTS: Final = 0.045
"""Part of the questions in scope that may be taken for strange: those are asked back, not sent away. Unseen ones are a
little stranger than those that the floor is chosen on."""


def floor_of(in_scope: NDArray[np.float32]) -> float:
    """Choose what a message below counts as out of scope, from the familiarity of unseen messages in scope."""
    return float(np.quantile(in_scope, FALSE_REJECTS)) if len(in_scope) else -np.inf
