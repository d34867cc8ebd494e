"""Parser of client frames."""

from __future__ import annotations

from aiohttp import WSCloseCode, WSMessage, WSMsgType
from trunkline_protocols import codec
from trunkline_protocols.frames import MAX_TEXT_CHARACTERS, ClientFrame

from trunkline_ingress.handlers.frame_errors import CloseSocketError, FrameError


def parse_frame(message: WSMessage) -> ClientFrame:
    """Parse a WebSocket message; raise `FrameError` or `CloseSocketError` if it is not a client frame."""
    if message.type is not WSMsgType.TEXT:
        raise CloseSocketError(WSCloseCode.UNSUPPORTED_DATA, "bad_frame", "only text frames are supported")
    try:
        return codec.client_frame.decode_joined(message.data)
    except codec.DecodeError as error:
        raise _refusal(message.data, str(error)) from error


def _refusal(raw: str, reason: str) -> FrameError | CloseSocketError:
    """Return the error for a text that is not a frame, with the id of the client's message if it has one."""
    try:
        fields = codec.read_malformed(raw)
    except codec.DecodeError:
        return CloseSocketError(WSCloseCode.INVALID_TEXT, "bad_frame", f"invalid JSON: {reason}")
    id_, text = fields.get("id"), fields.get("text")
    too_large = isinstance(text, str) and len(text) > MAX_TEXT_CHARACTERS
    return FrameError("too_large" if too_large else "bad_frame", reason, id_=id_ if isinstance(id_, str) else "")
