"""`trunkline fleet try` shows the decisions for a question without a suite."""

from __future__ import annotations

from pathlib import Path

import pytest
from trunkline_cli.errors import CommandError
from trunkline_cli.fleet.trial import FleetTrial, trial_lines
from trunkline_embedding import EmbedderChoice

FLEET = Path(__file__).parents[2] / "fleet"


@pytest.fixture(scope="module")
def demo() -> FleetTrial:
    """The demo fleet, searched by words."""
    return FleetTrial(FLEET, EmbedderChoice("lexical"))


def test_question_is_routed_and_answered_from_its_article(demo: FleetTrial) -> None:
    """As a suite would."""
    trial = demo.ask("How many days do I have to return an item?")
    assert trial.specialty == "returns"
    assert "start-a-return" in {passage.document for passage in trial.passages}
    assert "30 days" in trial.answer
    lines = trial_lines(trial)
    assert lines[0] == "question   How many days do I have to return an item?"
    assert any(line.startswith("agent ") and "(returns)" in line for line in lines)
    assert lines[-1].startswith("answer ")


def test_reason_is_given_if_no_article_answers(demo: FleetTrial) -> None:
    """With the score that the nearest one lacks."""
    trial = demo.ask("Which colour does the zeppelin have on Tuesdays?")
    assert trial.answer == ""
    assert trial.reason
    assert trial_lines(trial)[-1] == f"no answer  {trial.reason}"


def test_phrase_of_small_talk_asks_no_article(demo: FleetTrial) -> None:
    """The intent is the reason."""
    trial = demo.ask("thanks a lot")
    assert (trial.passages, trial.reason) == ([], "intent thanks: no article is asked for")


def test_emergency_shows_its_instruction(demo: FleetTrial) -> None:
    """By words too, for a message like an example."""
    trial = demo.ask("There is smoke coming out of the router")
    assert trial.escalation.startswith("person, critical: ")
    assert trial_lines(trial)[-1].startswith("says ")


def test_invalid_folder_is_one_error(tmp_path: Path) -> None:
    """It names the file."""
    with pytest.raises(CommandError, match=r"fleet\.toml"):
        FleetTrial(tmp_path, EmbedderChoice("lexical"))
