"""Limits of ports and files, and recorded conversations. Pure."""

from __future__ import annotations

from pathlib import Path

import pytest
from trunkline_cli.bench.load.core.limits import LimitError, Machine, check_files, source_addresses
from trunkline_cli.bench.load.core.profile import constant
from trunkline_cli.bench.load.core.replay import ReplayError, read_dialogues
from trunkline_cli.bench.load.plan import LoadPlan
from trunkline_cli.bench.texts import read_replay
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings
from trunkline_protocols.frames import MAX_TEXT_CHARACTERS

MACHINE = Machine(local_ports=28_232, open_files=20_000, has_loopback_network=True)
LOOPBACK = ["127.0.0.1:8080"]


def test_open_files_are_per_process() -> None:
    """The error says with how many processes it fits."""
    check_files(20_000, 2, MACHINE)
    check_files(1_000_000, 1, Machine(28_232, None, has_loopback_network=True))
    with pytest.raises(LimitError, match="hard limit is 20000: use --processes 2"):
        check_files(20_000, 1, MACHINE)
    with pytest.raises(LimitError, match="raise the limit"):
        check_files(10, 1, Machine(28_232, 100, has_loopback_network=True))


def test_addresses_are_taken_only_if_ports_are_scarce() -> None:
    """One for 22,585 sockets; further ones of the loopback network, for which no ports are in use yet."""
    assert source_addresses(20_000, hosts=LOOPBACK, given=(), machine=MACHINE) == ()
    assert source_addresses(50_000, hosts=LOOPBACK, given=(), machine=MACHINE) == (
        "127.0.0.2",
        "127.0.0.3",
        "127.0.0.4",
    )
    two = ["127.0.0.1:8080", "127.0.0.1:8081"]
    assert source_addresses(40_000, hosts=two, given=(), machine=MACHINE) == ()


@pytest.mark.parametrize(
    ("hosts", "given", "has_loopback_network"),
    [
        (["support.example"], [], True),
        (["127.example:80"], [], True),
        (["[::1]:8080"], [], True),
        (LOOPBACK, [], False),
        (LOOPBACK, ["10.0.0.1"], True),
    ],
)
def test_too_few_addresses_are_an_error(hosts: list[str], given: list[str], has_loopback_network: bool) -> None:  # noqa: FBT001
    """Before the first socket is opened, with the way out."""
    machine = Machine(28_232, None, has_loopback_network=has_loopback_network)
    with pytest.raises(LimitError, match="50000 conversations need 3 source addresses"):
        source_addresses(50_000, hosts=hosts, given=given, machine=machine)


def test_given_addresses_are_used() -> None:
    """Also if one would do."""
    assert source_addresses(10, hosts=LOOPBACK, given=["127.0.0.9"], machine=MACHINE) == ("127.0.0.9",)


def test_shares_have_every_conversation_once() -> None:
    """Sockets and recorded conversations."""
    dialogues = [[f"text {number}"] for number in range(7)]
    plan = LoadPlan(conversations=10, phases=constant(1.0, 1.0), texts=dialogues, is_replay=True, processes=3)
    shares = [plan.share(number) for number in range(3)]
    assert sorted(number for share in shares for number in share.numbers) == list(range(10))
    assert sorted(text for share in shares for text in share.texts) == dialogues


# -- replay ---


def test_messages_are_in_the_order_of_their_turns() -> None:
    """Numbered in any order of the file; without numbers, in that of the file."""
    lines = [
        b'{"conversation": "a", "turns": [{"turn": 4, "text": "two"}, {"turn": 0, "text": "one", "intent": "x"}]}',
        b"",
        b'{"conversation": "b", "domain": "finance", "turns": [{"text": "first"}, {"text": "second"}]}',
        b'{"conversation": "c", "turns": [{"turn": 1, "text": "  "}]}',
    ]
    assert read_dialogues(lines) == [["one", "two"], ["first", "second"]]


def test_long_text_is_cut() -> None:
    """The edge would refuse it."""
    line = b'{"conversation": "a", "turns": [{"turn": 0, "text": "%s"}]}' % (b"x" * 10_000)
    assert [len(text) for text in read_dialogues([line])[0]] == [MAX_TEXT_CHARACTERS]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{}", "line 1: "),
        (b"no", "line 1: "),
        (b'{"conversation": "a", "turns": [{"turn": "x", "text": "t"}]}', "line 1: "),
        (b'{"conversation": "a", "turns": [{"turn": 1, "text": "t"}, {"turn": 1, "text": "u"}]}', "two turns"),
    ],
)
def test_invalid_line_is_named(line: bytes, message: str) -> None:
    """Which line, and why."""
    with pytest.raises(ReplayError, match=message):
        read_dialogues([line])


def test_folder_or_file_is_read(tmp_path: Path) -> None:
    """All files of a folder in the order of their names; the error names file and line."""
    for name in ("b", "a"):
        text = f'{{"conversation": "{name}", "turns": [{{"turn": 0, "text": "{name}"}}]}}\n'
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    assert read_replay(tmp_path) == [["a"], ["b"]]
    assert read_replay(tmp_path / "b.jsonl") == [["b"]]
    (tmp_path / "c.jsonl").write_text("\n{", encoding="utf-8")
    with pytest.raises(CommandError, match=r"c\.jsonl: line 2: "):
        read_replay(tmp_path)
    with pytest.raises(CommandError, match="nowhere"):
        read_replay(Path("/nowhere"))


def test_public_conversations_are_read() -> None:
    """MultiDoGO: 3,000 conversations; the texts of the first one in order."""
    data = ClientSettings().data
    if data is None:
        pytest.skip("TRUNKLINE_DATA is not set")
    dialogues = read_replay(data / "replay")
    assert len(dialogues) == 3_000
    assert dialogues[0][:3] == ["hi", "i need a proof of insurance for my car", "derek duarte"]
