"""Division of the slots: complete, balanced, and the same in every process."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given, strategies as st
from trunkline_conversation.core.ownership import SlotOwnership
from trunkline_protocols.ids import SLOTS, ConversationId
from trunkline_protocols.presence import Presence, ProcessState

ALL_SLOTS = range(SLOTS)
STATES: list[ProcessState] = ["starting", "ready", "draining", "restarting", "failed"]


def presence(
    instance: str, state: ProcessState = "ready", *, slots: tuple[int, ...] = (), finishing: tuple[str, ...] = ()
) -> Presence:
    return Presence(
        service="conversation",
        instance=instance,
        pid=1,
        state=state,
        version="0",
        node="local",
        started_at=0.0,
        at=0.0,
        slots=list(slots),
        finishing=list(finishing),
    )


MEMBERS = st.tuples(st.sampled_from(STATES), st.frozensets(st.sampled_from(["c1", "c2", "c3"])))


@st.composite
def clusters(draw: st.DrawFn) -> list[Presence]:
    """Draw the presences of 1 to 12 processes, the last one ready, with each slot held by one or none of them."""
    drawn = draw(st.lists(MEMBERS, max_size=11))
    members = [*drawn, ("ready", draw(st.frozensets(st.sampled_from(["c1", "c2", "c3"]))))]
    holders = draw(st.lists(st.integers(0, len(members)), min_size=SLOTS, max_size=SLOTS))
    return [
        presence(
            f"conversation-{number}",
            state,
            slots=tuple(slot for slot in ALL_SLOTS if holders[slot] == number),
            finishing=tuple(sorted(finishing)),
        )
        for number, (state, finishing) in enumerate(members)
    ]


def views(cluster: list[Presence]) -> list[SlotOwnership]:
    """Return the division as each ready process sees it."""
    return [SlotOwnership(member.instance, cluster) for member in cluster if member.state == "ready"]


@given(clusters())
def test_every_slot_has_exactly_one_successor_among_the_ready_owners(cluster: list[Presence]) -> None:
    """All ready processes agree on the successor, and exactly one of them inherits a slot."""
    ready = {member.instance for member in cluster if member.state == "ready"}
    departing = presence("departed", "failed", slots=tuple(ALL_SLOTS))
    inherited = Counter(slot for view in views(cluster) for slot in view.inherited_from(departing))
    assert inherited == Counter(ALL_SLOTS)
    for slot in ALL_SLOTS:
        (successor,) = {view.successor(slot) for view in views(cluster)}
        assert successor in ready


@given(clusters())
def test_shares_differ_by_at_most_one(cluster: list[Presence]) -> None:
    """The slots of every owner stay within the fair share, which is the smallest bound that covers all slots."""
    view = views(cluster)[0]
    shares = Counter(dict.fromkeys(view.owners, 0))
    shares.update(view.successor(slot) for slot in ALL_SLOTS)
    assert max(shares.values()) - min(shares.values()) <= 1
    assert max(shares.values()) == view.fair_share
    assert (view.fair_share - 1) * len(view.owners) < SLOTS <= view.fair_share * len(view.owners)


@given(clusters())
def test_slot_has_a_stand_in_if_and_only_if_no_ready_process_holds_it(cluster: list[Presence]) -> None:
    """A process that is not ready may still list slots in its presence; they need a stand-in."""
    held = {slot for member in cluster if member.state == "ready" for slot in member.slots}
    for slot in ALL_SLOTS:
        assert sum(view.is_stand_in(slot) for view in views(cluster)) == (slot not in held)


@given(clusters(), st.randoms())
def test_division_is_independent_of_the_order_of_presences(cluster: list[Presence], random: Random) -> None:
    """Processes receive heartbeats in different orders."""
    shuffled = list(cluster)
    random.shuffle(shuffled)
    for view in views(cluster):
        other = SlotOwnership(view.instance, shuffled)
        assert (view.owners, view.fair_share) == (other.owners, other.fair_share)
        for slot in ALL_SLOTS:
            assert view.successor(slot) == other.successor(slot)
            assert view.is_stand_in(slot) == other.is_stand_in(slot)
        for member in cluster:
            assert view.inherited_from(member) == other.inherited_from(member)
        for conversation in (ConversationId("c1"), ConversationId("c2"), ConversationId("c3")):
            assert view.is_finishing_elsewhere(conversation) == other.is_finishing_elsewhere(conversation)


@given(clusters())
def test_conversation_is_finishing_elsewhere_if_another_process_lists_it(cluster: list[Presence]) -> None:
    """The state of that process does not matter: a draining one finishes its turns, too."""
    for view in views(cluster):
        others = {name for member in cluster if member.instance != view.instance for name in member.finishing}
        for name in ("c1", "c2", "c3"):
            assert view.is_finishing_elsewhere(ConversationId(name)) == (name in others)


def test_process_counts_itself_before_its_own_presence_has_arrived() -> None:
    """A starting process computes its share as if it were ready."""
    view = SlotOwnership("conversation-2", [presence("conversation-1", slots=tuple(ALL_SLOTS))])
    assert view.owners == ["conversation-1", "conversation-2"]
    assert view.fair_share == SLOTS / 2


def test_process_does_not_inherit_from_itself() -> None:
    """A draining process receives its own presence, too."""
    own = presence("conversation-1", "draining", slots=(0, 1))
    assert SlotOwnership("conversation-1", [own]).inherited_from(own) == []
