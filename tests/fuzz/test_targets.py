"""A short run of every fuzz target; `./just fuzz` runs them for longer."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.targets import TARGETS, Target

EXAMPLES = 40


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_decoder_fails_only_with_its_own_errors(target: Target) -> None:
    """For random bytes, random JSON, and messages with a few changes."""
    limits = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    limits(given(target.inputs)(target.check))()
