"""Late announcements of sockets."""

from __future__ import annotations

import pytest
from trunkline_protocols.ids import ConversationId, Instance
from trunkline_protocols.rules.sockets import MAX_DELAY_S, is_late
from trunkline_protocols.turn import SocketAttached

NEWEST_AT = 1_795_000_000.0


@pytest.mark.parametrize(
    ("attached_at", "expected"),
    [
        (NEWEST_AT + 1, False),
        (NEWEST_AT, False),
        (NEWEST_AT - 0.1, True),
        (NEWEST_AT - MAX_DELAY_S, True),
        # The clock of one host is wrong: its sockets must not shut out those of the others for as long.
        (NEWEST_AT - 3600, False),
        (0.0, False),
    ],
)
def test_only_a_somewhat_older_socket_is_late(attached_at: float, *, expected: bool) -> None:
    """By the stamps of the ingresses; without a stamp the order of arrival counts."""
    attached = SocketAttached(conversation=ConversationId("c"), ingress=Instance("i"), attached_at=attached_at)
    assert is_late(attached, NEWEST_AT) is expected
    assert not is_late(attached, 0.0)
