"""Every look of an operator at texts of a conversation is a record: its case, its trace, and lists that quote it."""

from __future__ import annotations

import json
import secrets
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from trunkline_chassis.bus import Bus
from trunkline_chassis.customer_bucket import StoredCustomer
from trunkline_chassis.errors import BusUnavailableError
from trunkline_ingress.adapters.nats.views import NatsViews
from trunkline_ingress.core.operators import Operator
from trunkline_ingress.core.review import ReviewItem
from trunkline_ingress.handlers import access
from trunkline_ingress.handlers.http import BODY_TIMEOUT_S
from trunkline_ingress.handlers.ops.customers import CustomerOps
from trunkline_ingress.handlers.ops.desk import DeskOps
from trunkline_ingress.handlers.ops.review import ReviewOps
from trunkline_protocols.context import Utterance
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.escalation import EscalationWaiting
from trunkline_protocols.ids import ConversationId, conversation_id

from tests.ingress.test_desk_cases import Views
from tests.protocols.sample_parts import ESCALATION
from tests.support.borders import ListedBorders

ADA = Operator(name="Ada", role="lead")
CASE = EscalationWaiting(
    conversation=ConversationId("c1"),
    region="east",
    tenant="default",
    customer="ada",
    escalation=ESCALATION,
    last_message="Where is it?",
)
EARLIER = CustomerKnown(conversation=ConversationId("c9"), earlier=[Utterance(role="customer", text="Hello")])


def request(path: str, operator: Operator = ADA) -> web.Request:
    app = web.Application()
    app[BODY_TIMEOUT_S] = 5.0
    made = make_mocked_request("GET", path, app=app)
    made[access._OPERATOR] = operator
    return made


def body_of(response: web.StreamResponse) -> Any:
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


async def queue(views: Views) -> Any:
    escalations = SimpleNamespace(values={"c1": CASE})
    desk = DeskOps(None, None, None, escalations, None, views, ListedBorders("east"))  # type: ignore[arg-type]
    return body_of(await desk.list_all(request("/v1/ops/desk")))


async def test_queue_is_a_look_at_each_case() -> None:
    """In the region of the suite, which is that of its cases."""
    views = Views()
    (entry,) = await queue(views)
    assert views.recorded == [("east", "c1", "queue", "Ada")]
    assert entry["last_message"] == "Where is it?"


async def test_queue_has_no_texts_if_the_look_cannot_be_recorded() -> None:
    """But the cases, which can be claimed."""
    views = Views()
    views.error = BusUnavailableError("no leader")
    (entry,) = await queue(views)
    assert (entry["conversation"], entry["urgency"], entry["position"]) == ("c1", "high", 0)
    assert (entry["last_message"], entry["reason"], entry["summary"]) == ("", "", "")


@pytest.mark.parametrize(("role", "recorded"), [("lead", [("local", "c1", "review", "Ada")]), ("agent", [])])
async def test_review_with_texts_is_a_look(role: Any, recorded: list[object]) -> None:
    """Once for each conversation, if it has texts."""

    async def latest() -> list[ReviewItem]:
        return [
            ReviewItem(kind="unanswered", conversation="c1", at=1.0, text="Why?"),
            ReviewItem(kind="low_rating", conversation="c1", at=2.0, text="Slow."),
            ReviewItem(kind="misroute", conversation="c2", at=3.0),
        ]

    views = Views()
    ops = ReviewOps(SimpleNamespace(latest=latest, since=0.0), views, "local")  # type: ignore[arg-type]
    found = body_of(await ops.list_items(request("/v1/ops/review", Operator(name="Ada", role=role))))
    assert views.recorded == recorded
    assert any(item["text"] for item in found["items"]) == bool(recorded)


async def test_earlier_messages_beside_a_customer_s_data_are_a_look() -> None:
    """Nothing is shown if it cannot be recorded."""

    async def load(_key: str) -> StoredCustomer:
        return StoredCustomer(EARLIER, 1)

    views = Views()
    ops = CustomerOps(SimpleNamespace(load=load), None, None, None, views, "local")  # type: ignore[arg-type]
    made = request("/v1/ops/customers/show")
    made._read_bytes = b'{"customer":"ada"}'
    assert body_of(await ops.show(made))["earlier"] == [{"role": "customer", "text": "Hello"}]
    assert views.recorded == [("local", "c9", "customer", "Ada")]
    views.error = BusUnavailableError("no leader")
    with pytest.raises(BusUnavailableError):
        await ops.show(made)


@pytest.mark.processes
async def test_repeated_look_is_one_record_of_each_operator_and_form(bus: Bus) -> None:
    """Of all ingresses together, if the minute has not changed in between; a list counts once an hour."""
    conversation = conversation_id(secrets.token_hex(8))
    one, two = NatsViews(bus), NatsViews(bus)
    for views in (one, two, one):
        await views.record("local", conversation, "queue", ADA)
        await views.record("local", conversation, "review", Operator(name="Bob", role="admin"))
    found = await one.stored("local", conversation)
    assert [(entry.viewed.view, entry.viewed.operator, entry.viewed.role) for entry in found][:2] == [
        ("queue", "Ada", "lead"),
        ("review", "Bob", "admin"),
    ]
    assert len(found) <= 4, "the hour may have changed once"
