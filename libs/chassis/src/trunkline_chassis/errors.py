"""Errors of the bus, of a start and of an object store, by the response that they call for.

BusError
+-- BusUnavailableError   the outcome is unknown: retry with the same message id
|   +-- PublishDeniedError    the account has no right to the subject: an operator must act, and a retry succeeds then
|   +-- KeyUnavailableError   a key of a customer cannot be read now: the texts may be readable later
+-- FenceError            another writer appended first: read the log and decide again
+-- BusRefusedError       the server refused the request: a retry is pointless
|   +-- MessageTooLargeError  the message is larger than the server accepts
+-- BusConfigError        address, credentials, certificates or limits are wrong: an operator must act
TextsErasedError          the key of a customer is destroyed: the texts are not readable any more
StartError                this machine does not allow a start: an operator must act
ObjectStoreUnavailableError   the object store does not answer or refuses: retry
ObjectMissingError        there is no object of this name
ObjectExistsError         an object that is written once has other bytes: an operator must act
"""

from __future__ import annotations

from typing import Final

_TOO_LARGE: Final = 10054
"""JetStream's code for a message over the limit of a stream."""


class BusError(Exception):
    """A failed operation on NATS."""


class BusUnavailableError(BusError):
    """No reply in time, or no connection."""


class PublishDeniedError(BusUnavailableError):
    """The account of the process may not publish to a subject, until an operator changes it."""

    def __init__(self, subject: str) -> None:
        """Name the subject and the remedy."""
        super().__init__(f"the NATS account has no right to publish to {subject}: load the new deploy/nats.conf")


class KeyUnavailableError(BusUnavailableError):
    """A customer's key cannot be decrypted: the wrapping key is missing or another one."""


class TextsErasedError(Exception):
    """The key of the texts is destroyed; `key` is its id."""

    def __init__(self, key: str) -> None:
        """Keep the id for callers that end the conversation."""
        super().__init__(f"the key {key} is destroyed")
        self.key = key


class FenceError(BusError):
    """The fence of an append did not match: there are messages that its writer has not read."""


class BusRefusedError(BusError):
    """The server refused a request; `code` is its JetStream error code."""

    def __init__(self, code: int, description: str) -> None:
        """Keep the code for callers that handle it."""
        super().__init__(f"{description} ({code})")
        self.code = code


class MessageTooLargeError(BusRefusedError):
    """The message is larger than `max_payload` of the server; it was not sent."""

    def __init__(self, subject: str, size: int, limit: int) -> None:
        """`size` and `limit` in bytes."""
        super().__init__(_TOO_LARGE, f"a message of {size} bytes on {subject} is over max_payload, {limit} bytes")
        self.size = size
        self.limit = limit


class BusConfigError(BusError):
    """The connection cannot be made as configured; the message is one line for the operator."""


class StartError(Exception):
    """The process cannot start on this machine as configured; the message is one line for the operator."""


class ObjectStoreUnavailableError(RuntimeError):
    """The object store does not answer or refuses; the message has its location and the reason."""


class ObjectMissingError(LookupError):
    """There is no object of this name."""


class ObjectExistsError(RuntimeError):
    """There is another object of a name that is written once."""
