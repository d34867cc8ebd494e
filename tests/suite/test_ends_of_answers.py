"""Ends of a model's answers in a complete suite: the socket, the log and the trace show what became of the text."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.customer import Customer
from tests.support.raw_model_server import Reply, events, finish, serve_raw, text, usage
from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes

QUESTION = "I was charged twice for my order, can I get a refund?"
FILTERED = Reply(events(text("Refunds are "), finish("content_filter"), usage()))
CUT = Reply(events(text("Refunds take 5"), finish("length"), usage()))
REPLACEMENT = "We refund it within five days."


async def test_withdrawn_and_incomplete_answers_are_shown_and_recorded(tmp_path: Path) -> None:
    """A filtered text disappears from the screen before its replacement arrives; a stump is marked and recorded."""
    async with (
        serve_raw(FILTERED, CUT) as primary,
        serve_raw(Reply(events(text(REPLACEMENT), finish(), usage()))) as backup,
    ):
        config = tmp_path / "llm.toml"
        config.write_text(
            "".join(
                f'[[provider]]\nname = "{name}"\nkind = "openai"\nbase_url = "{server.url}"\nmodels = ["small"]\n'
                for name, server in (("primary", primary), ("backup", backup))
            )
        )
        suite = await asyncio.to_thread(Suite, tmp_path / "suite", {"TRUNKLINE_LLM_CONFIG": str(config)})
        try:
            async with Customer(suite.url) as customer:
                await customer.start()
                withdrawn = await customer.ask("m1", QUESTION)
                incomplete = await customer.ask("m2", QUESTION)
                traced = await asyncio.to_thread(run_cli, suite, "trace", customer.conversation, "--json")
        finally:
            assert await asyncio.to_thread(suite.stop) == 0
    assert (withdrawn["text"], incomplete["text"]) == (REPLACEMENT, "Refunds take 5 …")
    shown = [(frame["text"], frame.get("replace", False)) for frame in _deltas(customer, withdrawn["turn"])]
    assert shown[:2] == [("Refunds are ", True), ("", True)]
    assert "".join(piece for piece, _ in shown[2:]) == REPLACEMENT
    first, second = [step["detail"] for step in json.loads(traced.stdout)["steps"] if step["type"] == "llm.complete"]
    assert [attempt["outcome"] for attempt in first["attempts"]] == ["content_filter", "answered"]
    assert (first["provider"], first["stop_reason"]) == ("backup", "stop")
    assert (second["provider"], second["stop_reason"]) == ("primary", "length")


def _deltas(customer: Customer, turn: str) -> list[dict[str, Any]]:
    return [frame for frame in customer.frames if frame["type"] == "delta" and frame["turn"] == turn]
