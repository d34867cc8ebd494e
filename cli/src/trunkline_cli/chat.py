"""`trunkline ask` and `trunkline chat`: talk to the fleet in the terminal."""

from __future__ import annotations

import asyncio
import getpass
import secrets
import sys
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
    ServerFrame,
    Start,
    StartedFrame,
)

from trunkline_cli.client import Chat, open_chat
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings

_CHANNEL: Final = "terminal"


class Screen:
    """Shows frames to a person; text appears as it streams."""

    def __init__(self, out: TextIO) -> None:
        """Write to a terminal or a pipe."""
        self._out = out
        self._console = Console(file=out, highlight=False, soft_wrap=True)
        self._shown = ""

    def show(self, frame: ServerFrame) -> None:
        """Show one frame."""
        match frame:
            case DeltaFrame(text=text, replace=replace):
                if replace and self._shown:
                    self._out.write("\n")
                    self._shown = ""
                self._write(text)
            case MessageFrame():
                self._finish(frame)
            case HandoffFrame(from_=from_, to=to, reason=reason):
                self._console.print(f"[dim]-- {from_} hands over to {to}: {escape(reason)}[/]")
            case EscalatedFrame(urgency=urgency, position=position):
                self._console.print(f"[dim]-- escalated ({urgency}), place {position} in the queue[/]")
            case PositionFrame(position=position, claimed_by=claimed_by):
                place = f"{claimed_by} is with you" if claimed_by else f"place {position} in the queue"
                self._console.print(f"[dim]-- {place}[/]")
            case NoticeRecalledFrame():
                self._console.print("[dim]-- a notice no longer holds[/]")
            case NoticeFrame(text=text):
                self._console.print(f"[bold]Notice:[/] {escape(text)}")
            case ClosedFrame(reason=reason):
                self._console.print(f"[dim]-- closed: {escape(reason)}[/]")
            case _:
                pass

    def note(self, text: str) -> None:
        """Say something beside the conversation."""
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
        who = f"{frame.specialty} / {frame.agent}" if frame.agent else frame.specialty
        self._console.print(f"[dim]-- {who}[/]")
        for number, citation in enumerate(frame.citations, start=1):
            source = f'[{number}] {citation.title} ({citation.document}): "{citation.quote}"'
            self._console.print(f"[dim]   {escape(source)}[/]")


async def ask(settings: ClientSettings, text: str, *, as_json: bool, out: TextIO) -> bool:
    """Have one conversation of one message; False when the answer was an error."""
    screen = Screen(out)
    conversation = ""
    async with open_chat(settings) as chat:
        await chat.send(_start())
        await chat.send(Message(id=_message_id(), text=text))
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
                        screen.note(f"the whole story: trunkline trace {conversation}")
                    return True
                case ErrorFrame(code=code, message=message):
                    if not as_json:
                        raise CommandError(f"{code}: {message}")
                    return False
                case _:
                    pass


async def converse(settings: ClientSettings) -> None:
    """Chat until the person ends it with an empty line, /end or Ctrl-D."""
    screen = Screen(sys.stdout)
    async with open_chat(settings) as chat:
        await chat.send(_start())
        await chat.receive()
        while text := (await _read_line()).strip():
            if text == "/end":
                break
            await chat.send(Message(id=_message_id(), text=text))
            await _until_answered(chat, screen)
        await chat.send(End())


async def _until_answered(chat: Chat, screen: Screen) -> None:
    while True:
        _, frame = await chat.receive()
        screen.show(frame)
        match frame:
            case MessageFrame() | ClosedFrame():
                return
            case ErrorFrame(code=code, message=message):
                print(f"trunkline: {code}: {message}", file=sys.stderr)  # noqa: T201
                return
            case _:
                pass


async def _read_line() -> str:
    """Wait for a line; nothing at the end of the input.

    On a terminal no thread waits in `input`: the interpreter would wait for that thread after Ctrl-C.
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


def _start() -> Start:
    return Start(customer=getpass.getuser(), channel=_CHANNEL)


def _message_id() -> str:
    return f"m{secrets.token_hex(8)}"
