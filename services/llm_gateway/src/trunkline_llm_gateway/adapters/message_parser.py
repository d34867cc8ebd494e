"""Parser of Anthropic's messages: answers in content blocks, usage at both ends.

`message_stop` ends a stream; without it the answer was truncated. Everything but the type of an event may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from trunkline_protocols import codec

from trunkline_llm_gateway.adapters.answer_parser import AnswerParser
from trunkline_llm_gateway.adapters.chat_chunks import encoded


class _Delta(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    """All kinds of events in one shape; unknown kinds are skipped."""

    type: str | None = None
    index: int | None = None
    message: Any = None
    content_block: Any = None
    delta: _Delta | None = None
    usage: Any = None
    error: Any = None


_decoder: Final[codec.Decoder[_Event]] = codec.Decoder(_Event)
_any_decoder: Final[codec.Decoder[Any]] = codec.Decoder(Any)


class MessageParser(AnswerParser):
    """Parses the events of one message."""

    def _feed(self, payload: bytes) -> str:
        event = _decode(payload)
        match event.type:
            case "content_block_delta" if event.delta is not None:
                return self._feed_delta(event.index, event.delta)
            case "content_block_start":
                return self._feed_block(event.index, event.content_block)
            case "message_start":
                self._record_usage(_field(event.message, "usage"))
            case "message_delta":
                self._record_stop(event.delta.stop_reason if event.delta is not None else None)
                self._record_usage(event.usage)
            case "message_stop":
                self.is_done = self.is_over = True
            case _ if event.error is not None:
                raise self._reported(event.error)
            case _:
                pass
        return ""

    def _feed_whole(self, body: bytes) -> str:
        reply = _any_decoder.decode_with_halves(body)
        if not isinstance(reply, dict):
            raise codec.ValidationError("Expected `object`")
        if reply.get("error"):
            raise self._reported(reply["error"])
        self._record_usage(reply.get("usage"))
        self._record_stop(_text(reply.get("stop_reason")))
        blocks = reply.get("content")
        self.is_done = isinstance(blocks, list)
        return "".join(self._feed_block(number, block) for number, block in enumerate(blocks or ()))

    def _end_at_marker(self) -> None:
        """Take `[DONE]`, which servers of both dialects send after a stop reason."""
        super()._end_at_marker()
        self.is_done = self.is_done or bool(self._stop_word)

    def _feed_delta(self, index: int | None, delta: _Delta) -> str:
        match delta.type:
            case "text_delta":
                return delta.text or ""
            case "input_json_delta":
                self._calls.add(id_="", index=index, name="", arguments=delta.partial_json or "")
            case _:
                self._record_thoughts(delta.thinking)
        return ""

    def _feed_block(self, index: int | None, block: object) -> str:
        match _field(block, "type"):
            case "text":
                return _text(_field(block, "text")) or ""
            case "tool_use":
                given = _field(block, "input")
                self._calls.add(
                    id_=_text(_field(block, "id")) or "",
                    index=index,
                    name=_text(_field(block, "name")) or "",
                    arguments=encoded(given) if given else "",
                )
            case _:
                self._record_thoughts(_text(_field(block, "thinking")))
        return ""


def _decode(payload: bytes) -> _Event:
    """Decode an event, whose strings may hold half characters; raise `DecodeError` if it is no JSON object."""
    try:
        return _decoder.decode(payload)
    except codec.DecodeError:
        fields = _any_decoder.decode_with_halves(payload)
    if not isinstance(fields, dict):
        raise codec.ValidationError("Expected `object`")
    delta = fields.get("delta")
    names = ("type", "text", "thinking", "partial_json", "stop_reason")
    index = fields.get("index")
    return _Event(
        type=_text(fields.get("type")),
        index=index if isinstance(index, int) else None,
        message=fields.get("message"),
        content_block=fields.get("content_block"),
        delta=_Delta(*(_text(delta.get(name)) for name in names)) if isinstance(delta, dict) else None,
        usage=fields.get("usage"),
        error=fields.get("error"),
    )


def _field(value: object, name: str) -> Any:  # noqa: ANN401 - JSON of any shape
    return value.get(name) if isinstance(value, Mapping) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
