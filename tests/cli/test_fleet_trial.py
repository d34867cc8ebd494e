"""`trunkline fleet try` shows the decisions for a question without a suite."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_cli.errors import CommandError
from trunkline_cli.fleet.trial import FleetTrial, trial_lines
from trunkline_embedding import EmbedderChoice
from trunkline_llm_gateway.core.extractive import compose

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


def test_phrase_of_a_rule_escalates_whatever_the_intent(tmp_path: Path) -> None:
    """As in a suite: a message with such a phrase is given to no agent."""
    folder = shutil.copytree(FLEET, tmp_path / "fleet")
    with (folder / "fleet.toml").open("a", encoding="utf-8") as file:
        file.write(
            '\n[[escalation.rules]]\nname = "lawyer"\nurgency = "high"\nto = "person"\n'
            'phrases = ["start a return"]\nsay = "Our lawyers write to you."\n'
        )
    trial = FleetTrial(folder, EmbedderChoice("lexical")).ask("How do I start a return?")
    assert trial.escalation == "person, high: rule lawyer"
    assert trial_lines(trial)[-1] == "says       Our lawyers write to you."


def test_message_in_another_language_gets_the_reply_of_a_suite(demo: FleetTrial) -> None:
    """It names the languages in which the fleet answers."""
    trial = demo.ask("Wie kann ich meine Bestellung zurückschicken?")
    assert trial.answer.startswith("Leider können wir")
    assert trial.passages == []


def test_invalid_folder_is_one_error(tmp_path: Path) -> None:
    """It names the file."""
    with pytest.raises(CommandError, match=r"fleet\.toml"):
        FleetTrial(tmp_path, EmbedderChoice("lexical"))


def test_every_quote_is_verbatim_in_its_article(demo: FleetTrial) -> None:
    """For the examples of all agents."""
    sources = {file.stem: file.read_text(encoding="utf-8") for file in (FLEET / "knowledge").glob("*/*.md")}
    quotes = 0
    for agent in load_fleet(FLEET).agents:
        for example in agent.examples:
            for citation in compose(example, demo.ask(example).passages).citations:
                quotes += 1
                assert citation.quote in sources[citation.document]
    assert quotes > 500


def test_files_that_cannot_be_read_do_not_end_a_trial(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A false PDF, an impossible date; the libraries that parse write nothing."""
    folder = shutil.copytree(FLEET, tmp_path / "fleet")
    (folder / "knowledge" / "false.pdf").write_bytes(b"<html>Not found</html>")
    (folder / "knowledge" / "date.md").write_text("---\nupdated: 2026-02-30\n---\nText.", encoding="utf-8")
    trial = FleetTrial(folder, EmbedderChoice("lexical"))
    assert "30 days" in trial.ask("How many days do I have to return an item?").answer
    assert "pdf" not in "".join(capfd.readouterr())
