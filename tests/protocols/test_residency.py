"""Decisions at the borders between regions."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from trunkline_protocols import subjects
from trunkline_protocols.ids import ConversationId, InvalidIdError
from trunkline_protocols.rules.residency import BORDERS, OPENABLE, Border, may_cross, place_of, recorded_region

REGIONS = st.sampled_from(["eu", "us", "ch", "local", "", "eu.>", "EU"])
POLICIES = st.dictionaries(REGIONS, st.lists(REGIONS))
CH_IN_EU = {"ch": ["eu", "ch"]}


@pytest.mark.parametrize(
    ("border", "data", "place", "policy", "crosses"),
    [
        ("work", "eu", "eu", {}, True),
        ("work", "eu", "us", {}, False),
        ("work", "ch", "eu", CH_IN_EU, False),
        ("provider", "ch", "eu", CH_IN_EU, True),
        ("provider", "ch", "us", CH_IN_EU, False),
        ("provider", "eu", "ch", CH_IN_EU, False),
        ("provider", "eu", "eu", {"eu": []}, False),
        ("tool", "eu", "EU", {}, False),
        ("provider", "eu", "", {"eu": [""]}, False),
        ("session", "", "", {}, False),
        ("record", "eu.>", "eu.>", {}, False),
    ],
)
def test_table_of_decisions(
    border: Border, data: str, place: str, policy: dict[str, list[str]], *, crosses: bool
) -> None:
    """Only the own region, unless a policy opens a border to systems outside."""
    assert may_cross(border, data=data, place=place, policy=policy) is crosses


@given(border=st.sampled_from(BORDERS), data=REGIONS, place=REGIONS, policy=POLICIES)
def test_nothing_crosses_without_a_reason(border: Border, data: str, place: str, policy: dict[str, list[str]]) -> None:
    """Data crosses into its own region, or where a policy of an openable border names the place for its region."""
    if may_cross(border, data=data, place=place, policy=policy):
        assert recorded_region(data) == data
        assert recorded_region(place) == place
        assert place in policy[data] if border in OPENABLE and data in policy else data == place


@given(border=st.sampled_from(sorted(set(BORDERS) - OPENABLE)), data=REGIONS, place=REGIONS, policy=POLICIES)
def test_no_policy_opens_a_border_within_the_suite(
    border: Border, data: str, place: str, policy: dict[str, list[str]]
) -> None:
    """A policy changes nothing there."""
    assert may_cross(border, data=data, place=place, policy=policy) == may_cross(border, data=data, place=place)


@given(region=st.sampled_from(["eu", "us"]), regions=st.lists(st.sampled_from(["eu", "us", "ch"])))
def test_system_with_a_list_of_regions_receives_their_data_only(region: str, regions: list[str]) -> None:
    """Without a list, it stands in every region."""
    crosses = may_cross("tool", data=region, place=place_of(region, regions))
    assert crosses == (not regions or region in regions)


@given(st.text(max_size=80))
def test_recorded_region_is_an_identifier(region: str) -> None:
    """A client may send any text as its region."""
    assert recorded_region(recorded_region(region)) == recorded_region(region)
    assert len(recorded_region(region)) <= 64


def test_region_of_every_audited_subject() -> None:
    """A dead letter has none; a subject that no stream holds is an error."""
    conversation = ConversationId("c1")
    for subject in (
        subjects.inbox("eu", conversation),
        subjects.desk("eu", conversation),
        subjects.view("eu", conversation),
        subjects.log("eu", conversation, "turn"),
        subjects.hold("eu", "h1"),
        subjects.notice("eu", "all"),
        subjects.receipt("eu", "n1", "agents-1"),
        subjects.erasure("eu", "abc", "def"),
        subjects.violation("eu", "tool"),
    ):
        assert subjects.region_of(subject) == "eu"
    assert subjects.region_of(subjects.dead_letter("INBOX", "slot-eu-1")) is None
    for subject in ("inbox", "inbox.eu", "inbox.*.1.c1", "work.billing.high", ""):
        with pytest.raises(InvalidIdError):
            subjects.region_of(subject)
