"""The tests of the adapters on the servers of compose.yaml: the same functions with other fixtures."""

from __future__ import annotations

import pytest

from tests.audit.test_migrations import test_migrations_twice_are_a_no_op
from tests.audit.test_recording import (
    test_any_bytes_are_archived,
    test_columns_identify_conversation_and_turn,
    test_every_message_of_every_stream_is_recorded_once_and_in_order,
    test_redelivered_messages_change_nothing,
)
from tests.chassis.test_bus import (
    conversation,
    test_fenced_append_is_refused_after_another_writer,
    test_long_log_is_read_completely_and_in_order,
    test_repeated_message_id_is_stored_once,
    test_request_without_responders_is_unavailable,
)

pytestmark = pytest.mark.processes

__all__ = [
    "conversation",
    "test_any_bytes_are_archived",
    "test_columns_identify_conversation_and_turn",
    "test_every_message_of_every_stream_is_recorded_once_and_in_order",
    "test_fenced_append_is_refused_after_another_writer",
    "test_long_log_is_read_completely_and_in_order",
    "test_migrations_twice_are_a_no_op",
    "test_redelivered_messages_change_nothing",
    "test_repeated_message_id_is_stored_once",
    "test_request_without_responders_is_unavailable",
]
