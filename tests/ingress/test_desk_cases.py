"""A case at the desk, read through its handler."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from trunkline_chassis.customer_bucket import StoredCustomer
from trunkline_chassis.errors import BusUnavailableError
from trunkline_ingress.core.operators import Operator
from trunkline_ingress.handlers import access
from trunkline_ingress.handlers.ops.desk import DeskOps
from trunkline_protocols.customers import CustomerKnown, subject_of
from trunkline_protocols.ids import ConversationId
from trunkline_protocols.log import CommitStored

from tests.ingress.conversation_simulator import simulate
from tests.support.borders import ListedBorders


class Log:
    """The log of one conversation."""

    def __init__(self) -> None:
        """Begin with a message and its answer."""
        self.stored = simulate(["message", "answer"]).commits

    async def commits(self, _region: str, _conversation: ConversationId, *, after: int) -> list[CommitStored]:
        return [each for each in self.stored if each.sequence > after]


class Customers:
    """A bucket that can fail."""

    error: Exception | None = None

    async def load(self, key: str) -> StoredCustomer:
        self.key = key
        if self.error is not None:
            raise self.error
        return StoredCustomer(CustomerKnown(claims={"company": "Acme"}), 1)


class Views:
    """Records of views, which can fail."""

    error: Exception | None = None

    def __init__(self) -> None:
        self.recorded: list[tuple[str, str, str, str]] = []

    async def record(self, region: str, conversation: str, view: str, operator: Operator) -> None:
        if self.error is not None:
            raise self.error
        self.recorded.append((region, conversation, view, operator.name))


async def case(customers: Customers, views: Views | None = None) -> dict[str, Any]:
    """Return the case as the console gets it."""
    escalations = SimpleNamespace(values={})
    desk = DeskOps(None, Log(), None, escalations, customers, views or Views(), ListedBorders())  # type: ignore[arg-type]
    request = make_mocked_request("GET", "/v1/ops/desk/c1", match_info={"conversation": "c1"})
    request[access._OPERATOR] = Operator(name="Ada", role="lead")
    response = await desk.show(request)
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    shown: dict[str, Any] = json.loads(response.body)
    return shown


async def test_case_is_shown_without_the_customers_data_if_it_cannot_be_read() -> None:
    """Its transcript is complete; only the data about the customer is missing, and the console says so."""
    customers = Customers()
    known = await case(customers)
    first = Log().stored[0].commit
    assert customers.key == subject_of(first.tenant, first.customer)
    assert known["customer"]["claims"] == {"company": "Acme"}
    customers.error = BusUnavailableError("no leader")
    unknown = await case(customers)
    assert unknown == {**known, "customer": None}
    assert unknown["transcript"]


async def test_defect_of_the_bucket_is_no_missing_data() -> None:
    """It ends the request as everywhere."""
    customers = Customers()
    customers.error = RuntimeError("a defect")
    with pytest.raises(RuntimeError):
        await case(customers)


async def test_case_is_shown_once_its_view_is_recorded() -> None:
    """An operator who cannot be recorded reads nothing."""
    views = Views()
    await case(Customers(), views)
    assert views.recorded == [("local", "c1", "desk", "Ada")]
    views.error = BusUnavailableError("no leader")
    with pytest.raises(BusUnavailableError):
        await case(Customers(), views)
