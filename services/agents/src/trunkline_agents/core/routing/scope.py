"""Scope detection: the threshold of the in-scope score below which a message is out of the fleet's scope."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

FALSE_REJECT_RATE: Final = 0.045
"""Share of in-scope questions that may be classified as out of scope; these get a clarifying question, not a refusal.
Unseen messages score slightly lower than the ones that the threshold is chosen on."""


def scope_threshold(in_scope_scores: NDArray[np.float32]) -> float:
    """Return the threshold for the in-scope scores of unseen in-scope messages."""
    return float(np.quantile(in_scope_scores, FALSE_REJECT_RATE)) if len(in_scope_scores) else -np.inf
