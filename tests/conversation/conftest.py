"""Fixtures of the conversation service."""

from __future__ import annotations

import pytest

from tests.conversation.actor_harness import ActorHarness


@pytest.fixture
def harness() -> ActorHarness:
    """Return an actor with fakes of its collaborators."""
    return ActorHarness()
