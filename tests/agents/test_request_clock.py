"""Times of requests, whatever the clocks of sender and receiver show."""

from __future__ import annotations

from datetime import datetime

import pytest
from trunkline_agents.adapters.queue_ages import JetStreamQueueAges
from trunkline_agents.application.request_clock import RequestClock
from trunkline_chassis.bus import Bus
from trunkline_protocols.streams import WORK
from trunkline_protocols.turn import AnswerTurn

from tests.agents.builders import make_request
from tests.agents.test_consultations import make_consult

NOW = 1_800_000_000.0
HOUR_S = 3_600.0


class Ages:
    """A queue in which the message is this old, or whose server does not answer."""

    def __init__(self, age_s: float | None) -> None:
        self.is_asked = False
        self._age_s = age_s

    async def age_s(self, stored_at: float) -> float | None:
        """Return the age."""
        self.is_asked = True
        return self._age_s


async def read(ages: Ages, *, sent_at: float) -> AnswerTurn:
    """Read a turn of 90 s, whose SLA ends after a minute."""
    request = make_request("hello", dispatched_at=sent_at, deadline_at=sent_at + 90, due_at=sent_at + 60)
    read = await RequestClock(ages, now=lambda: NOW, wall=lambda: NOW).read(request, stored_at=0.0)
    assert isinstance(read, AnswerTurn)
    assert (read.deadline_at - read.dispatched_at, read.due_at - read.dispatched_at) == (90, 60)
    return read


@pytest.mark.parametrize("difference_s", [-HOUR_S, -60, 60, HOUR_S])
@pytest.mark.parametrize("queued_s", [0.0, 0.3, 95.0])
async def test_age_is_that_of_the_queue_if_clocks_differ(difference_s: float, queued_s: float) -> None:
    """A request is neither expired early nor kept for too long, whichever clock is wrong."""
    ages = Ages(queued_s)
    request = await read(ages, sent_at=NOW - queued_s + difference_s)
    assert ages.is_asked
    assert NOW - request.dispatched_at == pytest.approx(queued_s)


async def test_queue_is_not_asked_if_clocks_agree() -> None:
    """The common case costs no request."""
    ages = Ages(None)
    request = await read(ages, sent_at=NOW - 0.02)
    assert not ages.is_asked
    assert NOW - request.dispatched_at == pytest.approx(0.02)


async def test_sender_that_is_slightly_ahead_makes_no_negative_age() -> None:
    """Clocks that are kept in time differ by milliseconds."""
    assert (await read(Ages(None), sent_at=NOW + 0.02)).dispatched_at == pytest.approx(NOW)


async def test_time_in_the_queue_is_kept_if_it_is_real() -> None:
    """In an overload, work of 100 s is too late for a turn of 90 s."""
    request = await read(Ages(99.9), sent_at=NOW - 100)
    assert request.deadline_at < NOW


@pytest.mark.parametrize(("shown_s", "age_s"), [(-5.0, 0.0), (HOUR_S, 0.0), (30.0, 30.0)])
async def test_request_of_an_impossible_age_is_new_if_the_queue_does_not_answer(shown_s: float, age_s: float) -> None:
    """No work is older than its stream keeps it."""
    assert shown_s < 0 or shown_s > WORK.max_age_s or age_s == shown_s
    assert NOW - (await read(Ages(None), sent_at=NOW - shown_s)).dispatched_at == pytest.approx(age_s)


async def test_consultation_keeps_its_timeout() -> None:
    """The specialist's clock is an hour behind."""
    consult = make_consult(requested_at=NOW + HOUR_S, deadline_at=NOW + HOUR_S + 10)
    read = await RequestClock(Ages(4.0), now=lambda: NOW, wall=lambda: NOW).read(consult, stored_at=0.0)
    assert read.deadline_at - NOW == pytest.approx(6)


async def test_times_are_those_of_the_clock_that_does_not_jump() -> None:
    """The wall clock of this host was set back by an hour since the process began, and agrees with the sender's."""
    ages = Ages(None)
    request = make_request("hello", dispatched_at=NOW - HOUR_S, deadline_at=NOW - HOUR_S + 90)
    clock = RequestClock(ages, now=lambda: NOW, wall=lambda: NOW - HOUR_S + 0.1)
    read = await clock.read(request, stored_at=0.0)
    assert not ages.is_asked
    assert (NOW - read.deadline_at) == pytest.approx(-89.9)


async def test_request_without_a_time_stays_as_it_is() -> None:
    """Requests of an older release have none."""
    consult = make_consult(requested_at=0.0, deadline_at=NOW)
    assert await RequestClock(Ages(4.0), now=lambda: NOW, wall=lambda: NOW).read(consult, stored_at=0.0) == consult


@pytest.mark.processes
async def test_age_is_measured_by_the_clock_of_the_server(bus: Bus) -> None:
    """A message that is stored now is new, and one of the server's time of a minute ago is a minute old."""
    info = await bus.api(f"STREAM.INFO.{WORK.name}")
    now = datetime.fromisoformat(info["ts"]).timestamp()
    ages = JetStreamQueueAges(bus)
    found = [await ages.age_s(stored_at) for stored_at in (now - 60, now, now + 60)]
    assert found == [pytest.approx(60, abs=20), pytest.approx(0, abs=20), 0.0]
    assert (found[0] or 0.0) - (found[1] or 0.0) >= 59
