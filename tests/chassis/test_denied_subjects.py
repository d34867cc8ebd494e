"""An append without the right to publish fails soon and clearly, and leaves the connection where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from trunkline_chassis.bus import connect
from trunkline_chassis.errors import PublishDeniedError
from trunkline_chassis.nats_security import NatsSecurity
from trunkline_chassis.provision import provision
from trunkline_protocols import subjects
from trunkline_protocols.ids import ConversationId

from tests.support.nats import nats_server

ACCOUNTS: Final = """
authorization { users: [
    { user: owner, password: secret },
    { user: service, password: secret, permissions: { publish: { deny: ["view.>"] } } },
] }
"""
C = ConversationId("cdenied")
ATTEMPTS: Final = 5
"""Together longer than the silence after which the bus leaves a server."""


@pytest.mark.processes
async def test_append_without_rights_names_the_subject_and_stays_connected(tmp_path: Path) -> None:
    """Every attempt ends after one request instead of the whole time of an election; other subjects work meanwhile."""
    with nats_server(tmp_path, lambda config: config + ACCOUNTS) as url:
        owner = await connect(url, "owner", security=NatsSecurity(user="owner", password="secret"))
        bus = await connect(url, "service", security=NatsSecurity(user="service", password="secret"))
        reconnections: list[int] = []
        bus.on_reconnect.append(lambda: reconnections.append(1))
        await provision(owner, region="local", specialties=[], replicas=1)
        denied = subjects.view("local", C)
        for number in range(ATTEMPTS):
            with pytest.raises(PublishDeniedError, match=rf"no right to publish to {denied}"):
                await bus.append(denied, b"{}", message_id=str(number), timeout_s=600.0)
        await bus.append(subjects.inbox("local", C), b"{}", message_id="inbox")
        assert reconnections == []
        await owner.append(denied, b"{}", message_id="owner")
        await bus.close()
        await owner.close()
