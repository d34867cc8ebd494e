"""What is wrong with a command is one clear line; what customers of a bench say is read from several forms."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from trunkline_cli.bench.texts import read_texts
from trunkline_cli.errors import CommandError

from tests.support.suite import trunkline

NO_FLEET = Path("/nowhere")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["up", "--port", "99999"], "trunkline: TRUNKLINE_HTTP_PORT: Input should be less than or equal to 65535"),
        (["status", "--url", "somewhere"], "trunkline: TRUNKLINE_URL: String should match pattern '^https?://'"),
        (["up", "--fleet", "/nowhere"], "trunkline: /nowhere/fleet.toml: "),
        (["kb", "import", "/nowhere"], "trunkline: /nowhere: no such file or folder"),
        (["bench", "load", "--texts", "/nowhere"], "trunkline: /nowhere: "),
    ],
)
def test_what_is_wrong_is_one_line_that_names_it(arguments: list[str], line: str, tmp_path: Path) -> None:
    """No traceback, exit status 1, before anything is started."""
    done = subprocess.run([trunkline(), *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_texts_are_grouped_by_conversation(tmp_path: Path) -> None:
    """Single texts, texts that belong together, and whole conversations."""
    file = tmp_path / "texts.jsonl"
    file.write_text(
        '{"text": "one"}\n\n{"text": "a", "conversation": "x"}\n{"text": "b", "conversation": "x"}\n'
        '{"conversation": "y", "turns": [{"turn": 0, "text": "hi"}, {"turn": 2, "text": "help"}]}\n'
    )
    assert read_texts(file, NO_FLEET) == [["one"], ["a", "b"], ["hi", "help"]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "no line has `text`"), ('{"turns": []}', "no line has `text`"), ('{"text": "a"}\nnot json', ":2: ")],
)
def test_file_without_texts_is_refused_by_name(tmp_path: Path, content: str, reason: str) -> None:
    """With the line where it is one line's fault."""
    file = tmp_path / "texts.jsonl"
    file.write_text(content)
    with pytest.raises(CommandError) as raised:
        read_texts(file, NO_FLEET)
    assert str(raised.value).startswith(str(file))
    assert reason in str(raised.value)
