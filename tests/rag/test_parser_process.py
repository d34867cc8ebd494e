"""The parser process: its limits hold, a file over them is reported by name, and every other file is read."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest
from trunkline_protocols.knowledge import ArticleFile, ImportProblem
from trunkline_rag.adapters.parser.process import ParserProcess
from trunkline_rag.core.articles import Document
from trunkline_rag.core.articles.limits import ParseLimits
from trunkline_rag.ports import ParserUnavailableError

from tests.support.parser_bombs import ALIASES, BOMBS, LONG_PDF, NESTED_TAGS, harmless
from tests.support.suite import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def parser() -> Iterator[ParserProcess]:
    """A parser with the default limits."""
    parser = ParserProcess(ParseLimits())
    yield parser
    parser.close()


LimitedParser: TypeAlias = "Callable[..., ParserProcess]"


@pytest.fixture
def limited_parser() -> Iterator[LimitedParser]:
    """Make a parser with other limits."""
    with contextlib.ExitStack() as stack:

        def make(**limits: float) -> ParserProcess:
            made = ParserProcess(ParseLimits(**limits))  # type: ignore[arg-type]
            stack.callback(made.close)
            return made

        yield make


def read(parser: ParserProcess, *files: ArticleFile) -> tuple[list[str], dict[str, str]]:
    """Return the ids of the articles, and the reasons by the name of the file."""
    items = list(parser.parse(files))
    ids = [item.id for item in items if isinstance(item, Document)]
    return ids, {item.name: item.reason for item in items if isinstance(item, ImportProblem)}


def worker() -> psutil.Process:
    """Return the parser process of this test."""
    (found,) = [child for child in psutil.Process().children() if _is_worker(child)]
    return found


def _is_worker(process: psutil.Process) -> bool:
    """Return whether a child of this test run is a parser; a child of another test may have ended."""
    try:
        return "trunkline_rag.adapters.parser.worker" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_bomb_is_reported_within_ten_seconds_and_its_neighbours_are_read(
    parser: ParserProcess, bomb: ArticleFile
) -> None:
    """Neighbours are before and after it in the batch."""
    read(parser, harmless("warm"))
    items = parser.parse([harmless("before"), bomb, harmless("after")])
    before, started, problem, reported = next(items), time.monotonic(), next(items), time.monotonic()
    (after,) = items
    assert isinstance(before, Document)
    assert isinstance(problem, ImportProblem)
    assert isinstance(after, Document)
    assert (before.id, problem.name, after.id) == ("before", bomb.name, "after")
    assert reported - started < 10


def test_depth_and_aliases_are_refused_without_loss_of_the_process(parser: ParserProcess) -> None:
    """The reason names the limit."""
    read(parser, harmless("warm"))
    before = worker().pid
    deep = ArticleFile(name="deep.html", content="<div>" * 300 + "x")
    unclosed = ArticleFile(name="unclosed.html", content="<p>Text.<li>" * 5_000)
    ids, problems = read(parser, NESTED_TAGS, deep, ALIASES, unclosed)
    assert problems == {
        NESTED_TAGS.name: "more than 1000 tags are open at a time",
        "deep.html": "elements are nested more than 200 deep",
        ALIASES.name: "front matter must not use aliases",
    }
    assert ids == ["unclosed"]
    assert worker().pid == before


def test_processor_time_is_limited_by_the_kernel(limited_parser: LimitedParser) -> None:
    """The process is replaced, and the time of earlier files is not counted."""
    limited = limited_parser(time_s=1.0, memory_mib=1024)
    read(limited, harmless("warm"))
    before = worker()
    soft_s, _ = before.rlimit(psutil.RLIMIT_CPU)
    assert soft_s <= math.ceil(sum(before.cpu_times()[:2]) + 1)
    ids, problems = read(limited, LONG_PDF, harmless("after"))
    assert problems[LONG_PDF.name].startswith("takes longer than")
    assert ids == ["after"]
    assert worker().pid != before.pid


def test_elapsed_time_is_limited_for_a_parser_that_waits(limited_parser: LimitedParser) -> None:
    """A stopped process uses no processor time."""
    limited = limited_parser(time_s=0.5)
    read(limited, harmless("warm"))
    worker().suspend()
    ids, problems = read(limited, harmless("waits"), harmless("after"))
    assert problems == {"waits.md": "takes longer than 1 s to read"}
    assert ids == ["after"]


def test_memory_is_limited_and_the_file_is_named(parser: ParserProcess) -> None:
    """A page that needs more than the address space; small files are read by the same limits."""
    page = ArticleFile(name="big.html", content="<html><body>" + "<p>a <b>c</b></p>" * 1_000_000)
    started = time.monotonic()
    ids, problems = read(parser, harmless("before"), page, harmless("after"))
    assert ids == ["before", "after"]
    assert list(problems) == ["big.html"]
    assert time.monotonic() - started < 60


def test_file_over_the_size_is_not_sent(limited_parser: LimitedParser) -> None:
    """The reason has the size and the limit."""
    limited = limited_parser(file_mib=1)
    ids, problems = read(limited, ArticleFile(name="big.md", content="x" * 1_048_577), harmless("after"))
    assert ids == ["after"]
    assert problems == {"big.md": "1048577 bytes, at most 1 MiB are accepted"}


def test_killed_process_is_replaced(parser: ParserProcess) -> None:
    """No file is blamed for it, whether the process dies between two imports or in the middle of a batch."""
    read(parser, harmless("warm"))
    killed = worker()
    killed.kill()
    assert read(parser, harmless("a")) == (["a"], {})
    running = parser.parse([harmless(f"n{number}") for number in range(64)])
    first = next(running)
    worker().kill()
    assert len([first, *running]) == 64


def test_caller_that_stops_in_mid_batch_gets_no_stale_replies(parser: ParserProcess) -> None:
    """The replies of the abandoned batch are not those of the next one."""
    abandoned = parser.parse([harmless("a"), harmless("b")])
    next(abandoned)
    abandoned.close()  # type: ignore[attr-defined]
    assert read(parser, harmless("c")) == (["c"], {})


def test_process_has_no_environment_and_writes_no_file(
    parser: ParserProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Secrets of the service stay in the service."""
    monkeypatch.setenv("TRUNKLINE_SECRET_CANARY", "canary")
    monkeypatch.chdir(tmp_path)
    read(parser, harmless("warm"))
    process = worker()
    assert "TRUNKLINE_SECRET_CANARY" not in process.environ()
    assert process.cwd() == "/"
    for limit, value in (
        (psutil.RLIMIT_AS, 256 * 1024 * 1024),
        (psutil.RLIMIT_FSIZE, 0),
        (psutil.RLIMIT_CORE, 0),
        (psutil.RLIMIT_NPROC, 0),
    ):
        assert process.rlimit(limit) == (value, value)


def test_process_ends_with_its_parent(parser: ParserProcess) -> None:
    """Without a message: the socket is closed."""
    read(parser, harmless("warm"))
    process = worker()
    parser._worker._peer.close()  # type: ignore[union-attr]
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "the parser has ended")


def test_closed_parser_reads_nothing(parser: ParserProcess) -> None:
    """A process that stops starts no other."""
    parser.close()
    with pytest.raises(ParserUnavailableError):
        read(parser, harmless("a"))


def test_files_left_at_the_timeout_are_reported(parser: ParserProcess) -> None:
    """An import replies before its requester gives up."""
    items = list(parser.parse([harmless("a"), harmless("b")], timeout_s=-1.0))
    assert [item.name for item in items if isinstance(item, ImportProblem)] == ["a.md", "b.md"]


def test_json_lines_are_read_in_pieces_with_their_line_numbers(parser: ParserProcess) -> None:
    """A line separator inside a string does not end a line."""
    line = '{"id": "a%d", "title": "T", "content": "Text\\u2028 of %s"}'
    lines = [line % (number, "x" * 200) for number in range(5_000)]
    lines[4_000] = "broken"
    ids, problems = read(parser, ArticleFile(name="kb.jsonl", content="\n".join(lines)))
    assert len(ids) == 4_999
    assert list(problems) == ["kb.jsonl:4001"]


def test_stop_signal_of_the_terminal_does_not_reach_the_reply(parser: ParserProcess) -> None:
    """A parser ended by a signal during a file is replaced, and the file is read."""
    read(parser, harmless("warm"))
    os.kill(worker().pid, signal.SIGTERM)
    assert read(parser, harmless("a")) == (["a"], {})
