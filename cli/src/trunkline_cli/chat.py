"""`trunkline ask` and `trunkline chat`: conversations in the terminal."""

from __future__ import annotations

import asyncio
import getpass
import secrets
import sys
from dataclasses import dataclass
from typing import Final, TextIO

from rich.console import Console
from rich.markup import escape
from trunkline_protocols.frames import (
    ClosedFrame,
    DeltaFrame,
    End,
    ErrorFrame,
    EscalatedFrame,
    HandoffFrame,
    Message,
    MessageFrame,
    NoticeFrame,
    NoticeRecalledFrame,
    PositionFrame,
    RequestPerson,
    ServerFrame,
    Start,
    StartedFrame,
)

from trunkline_cli.client import Chat, open_chat
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings
from trunkline_cli.sources import source_lines

_CHANNEL: Final = "terminal"
_MAX_RETRIES: Final = 5
_PERSON: Final = "person"
"""Specialty of frames from a person at the desk."""


class Screen:
    """Renderer of server frames as text; an answer appears as it streams."""

    def __init__(self, out: TextIO) -> None:
        """Write to a terminal or a pipe."""
        self._out = out
        self._console = Console(file=out, highlight=False, soft_wrap=True)
        self._shown = ""

    def show(self, frame: ServerFrame) -> None:
        """Print one frame."""
        match frame:
            case DeltaFrame(text=text, replace=replace):
                if replace and self._shown:
                    self._out.write("\n")
                    self._shown = ""
                self._write(text)
            case MessageFrame():
                self._finish(frame)
            case HandoffFrame(from_=from_, to=to, reason=reason):
                self.note(f"handed off from {from_} to {to}: {reason}")
            case EscalatedFrame(urgency=urgency, position=position):
                self.note(f"escalated ({urgency}), position {position} in the queue")
            case PositionFrame(position=position, claimed_by=claimed_by):
                self.note(f"{claimed_by} joined" if claimed_by else f"position {position} in the queue")
            case NoticeRecalledFrame():
                self.note("a notice was recalled")
            case NoticeFrame(text=text):
                self._console.print(f"[bold]Notice:[/] {escape(text)}")
            case ClosedFrame(reason=reason):
                self.note(f"closed: {reason}")
            case _:
                pass

    def note(self, text: str) -> None:
        """Print a line that is not part of the conversation."""
        self._console.print(f"[dim]-- {escape(text)}[/]")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
        self._shown += text

    def _finish(self, frame: MessageFrame) -> None:
        if not frame.text.startswith(self._shown):
            self._out.write("\n")
            self._shown = ""
        self._write(frame.text[len(self._shown) :] + "\n")
        self._shown = ""
        self.note(_author(frame))
        for line in source_lines(frame.citations):
            self._console.print(f"[dim]   {escape(line)}[/]")


async def ask(settings: ClientSettings, text: str, *, as_json: bool, out: TextIO) -> bool:
    """Send one message in a new conversation and print the answer; return False if it is an error frame."""
    screen = Screen(out)
    conversation = ""
    async with open_chat(settings) as chat:
        await chat.send(_start())
        message = Message(id=_message_id(), text=text)
        await chat.send(message)
        retries = Retries(message)
        while True:
            raw, frame = await chat.receive()
            if as_json:
                out.write(raw + "\n")
                out.flush()
            else:
                screen.show(frame)
            match frame:
                case StartedFrame():
                    conversation = frame.conversation
                case MessageFrame():
                    if not as_json:
                        screen.note(f"details: trunkline trace {conversation}")
                    return True
                case ErrorFrame() as error if retries.may_send_again(error):
                    await _send_again(chat, screen if not as_json else None, message, error)
                case ErrorFrame(code=code, message=reason):
                    if not as_json:
                        raise CommandError(f"{code}: {reason}")
                    return False
                case _:
                    pass


async def converse(settings: ClientSettings) -> None:
    """Chat until the user enters an empty line, /end or Ctrl-D; /person requests a person."""
    screen = Screen(sys.stdout)
    async with open_chat(settings) as chat:
        await chat.send(_start())
        await chat.receive()
        while text := (await _read_line()).strip():
            if text == "/end":
                break
            person = text == "/person"
            sent = RequestPerson(id=_message_id()) if person else Message(id=_message_id(), text=text)
            await chat.send(sent)
            await _show_answer(chat, screen, sent)
        await chat.send(End())


async def _show_answer(chat: Chat, screen: Screen, sent: Message | RequestPerson) -> None:
    retries = Retries(sent)
    while True:
        _, frame = await chat.receive()
        screen.show(frame)
        match frame:
            case MessageFrame() | ClosedFrame():
                return
            case ErrorFrame() as error if retries.may_send_again(error):
                await _send_again(chat, screen, sent, error)
            case ErrorFrame(code=code, message=message):
                print(f"trunkline: {code}: {message}", file=sys.stderr)  # noqa: T201
                return
            case _:
                pass


@dataclass(slots=True)
class Retries:
    """Attempts at a message that the suite refuses for now."""

    sent: Message | RequestPerson
    left: int = _MAX_RETRIES

    def may_send_again(self, error: ErrorFrame) -> bool:
        """Return whether the error names the message and a time to send it again, and attempts are left."""
        self.left -= 1
        return self.left >= 0 and error.retryable and error.id == self.sent.id and bool(error.retry_after_s)


async def _send_again(chat: Chat, screen: Screen | None, sent: Message | RequestPerson, error: ErrorFrame) -> None:
    """Send a refused message again after the time that the error names, under its id: it is answered once."""
    wait_s = error.retry_after_s if isinstance(error.retry_after_s, float) else 0.0
    if screen is not None:
        screen.note(f"{error.message}, sending again in {wait_s:.0f} s")
    await asyncio.sleep(wait_s)
    await chat.send(sent)


async def _read_line() -> str:
    """Return the next line of input, or an empty string at its end.

    On a terminal the event loop watches stdin: after Ctrl-C the interpreter would join a thread blocked in `readline`.
    """
    print("you> ", end="", flush=True)  # noqa: T201
    if sys.stdin.isatty():
        loop = asyncio.get_running_loop()
        typed = asyncio.Event()
        loop.add_reader(sys.stdin, typed.set)
        try:
            await typed.wait()
        finally:
            loop.remove_reader(sys.stdin)
        return sys.stdin.readline()
    return await asyncio.to_thread(sys.stdin.readline)


def _author(frame: MessageFrame) -> str:
    """Return specialty and agent, or a person's name; a text of the system has no title."""
    if frame.specialty == _PERSON:
        return f"{frame.agent}, a person"
    return f"{frame.specialty} / {frame.agent}" if frame.title else "automatic message"


def _start() -> Start:
    return Start(customer=getpass.getuser(), channel=_CHANNEL)


def _message_id() -> str:
    return f"m{secrets.token_hex(8)}"
