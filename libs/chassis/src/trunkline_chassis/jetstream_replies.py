"""Replies of the JetStream API, as far as the bus reads them."""

from __future__ import annotations

from typing import Final

import msgspec
from trunkline_protocols.decoding import Decoder


class ApiError(msgspec.Struct):
    """The error of a refused request."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class PubAck(msgspec.Struct):
    """The acknowledgement of an append."""

    seq: int = 0
    duplicate: bool = False
    error: ApiError | None = None


class RawMessage(msgspec.Struct):
    """A stored message."""

    subject: str
    seq: int
    data: bytes = b""
    hdrs: bytes = b""
    """The headers as on the wire."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers; of those with several values the last one."""
        lines = (line.partition(b":") for line in self.hdrs.split(b"\r\n")[1:])
        return {name.decode("ascii", "replace"): value.strip().decode("utf-8", "replace") for name, _, value in lines}


class GetReply(msgspec.Struct):
    """The reply to a read of one message."""

    message: RawMessage | None = None
    error: ApiError | None = None


pub_ack: Final[Decoder[PubAck]] = Decoder(PubAck)
get_reply: Final[Decoder[GetReply]] = Decoder(GetReply)
