"""The account of a roll-out by its commits finds what must not happen."""

from __future__ import annotations

import msgspec
import pytest
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import Commit
from trunkline_protocols.rollout import FleetDraw, ReleaseDraw
from trunkline_protocols.rules.rollout import is_drawn_to_candidate, is_drawn_to_colour
from trunkline_protocols.subjects import QueueColour

from tests.faults.rollout_evidence import Evidence
from tests.protocols.sample_parts import RELEASED

END = 100.0
RELEASE = {"number": 7, "candidate": "green", "served": "blue", "decisions": [{"at": END}]}
FLEET = {"candidate": 12, "served": 5, "published": 17, "decisions": [{"at": END}]}
IDS = [ConversationId(f"c{number}") for number in range(1_000)]
DRAW = ReleaseDraw(rollout=7, share=25)
GREEN = [each for each in IDS if is_drawn_to_colour(each, DRAW)]


def commit(conversation: ConversationId, colour: QueueColour, *, at: float = 1.0, rollout: int = 7) -> Commit:
    """Return the first commit of a conversation."""
    draw = ReleaseDraw(rollout=rollout, share=25)
    return msgspec.structs.replace(
        RELEASED, conversation=conversation, colour=colour, release_draw=draw, at=at, previous=0
    )


def of(*commits: Commit) -> Evidence:
    """Return the account of commits."""
    evidence = Evidence()
    for each in commits:
        evidence.add(each, "release", RELEASE)
    return evidence


def test_shares_by_the_draw_are_fair() -> None:
    """Every conversation has the colour of its draw; those of another roll-out do not count."""
    evidence = of(*(commit(each, "green" if each in GREEN else "blue") for each in IDS), commit(IDS[0], "", rollout=6))
    assert (evidence.drawn[25], evidence.to_candidate[25]) == (len(IDS), len(GREEN))
    assert (evidence.changed, evidence.unfair) == ([], [])


@pytest.mark.parametrize(("of_green", "is_unfair"), [(60, True), (220, False), (250, False), (300, True)])
def test_share_further_off_than_points_and_errors_is_unfair(of_green: int, is_unfair: bool) -> None:  # noqa: FBT001
    """Of 1,000 at 25 percent three standard errors are 4.1 points."""
    evidence = Evidence()
    evidence.drawn[25], evidence.to_candidate[25] = 1_000, of_green
    assert bool(evidence.unfair) == is_unfair


@pytest.mark.parametrize(("at", "changed"), [(END - 1, 1), (END, 0)])
def test_conversation_that_changes_its_colour_is_found(at: float, changed: int) -> None:
    """Until the end of the roll-out; then all have the colour in force."""
    assert len(of(commit(GREEN[0], "green"), commit(GREEN[0], "blue", at=at)).changed) == changed


def test_published_number_is_that_of_the_candidate() -> None:
    """A fleet version has two numbers at its end, and no other conversation may have them."""
    draw = FleetDraw(candidate=12, share=25)
    of_candidate = next(each for each in IDS if is_drawn_to_candidate(each, draw))
    of_served = next(each for each in IDS if not is_drawn_to_candidate(each, draw))
    evidence = Evidence()
    for conversation, version in ((of_candidate, 12), (of_candidate, 17), (of_served, 5), (of_served, 12)):
        drawn = msgspec.structs.replace(commit(conversation, ""), draw=draw, fleet_version=version)
        evidence.add(drawn, "fleet", FLEET)
    assert [each.split()[0] for each in evidence.changed] == [of_served]
