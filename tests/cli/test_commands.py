"""Errors of the `trunkline` command, and the texts of the load bench."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from trunkline_cli.bench.texts import read_texts
from trunkline_cli.errors import CommandError

from tests.cli.commands import COMMANDS
from tests.support.suite import trunkline

NO_FLEET = Path("/nowhere")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["up", "--port", "99999"], "trunkline: TRUNKLINE_HTTP_PORT: Input should be less than or equal to 65535"),
        (["status", "--url", "somewhere"], "trunkline: TRUNKLINE_URL: String should match pattern '^https?://'"),
        (["status", "--url", "http://::1:8080"], "trunkline: TRUNKLINE_URL: must be http://HOST, "),
        (["status", "--url", "http://[::1"], "trunkline: TRUNKLINE_URL: must be http://HOST, "),
        (["ask", "x", "--url", "http://127.0.0.1:99999"], "trunkline: TRUNKLINE_URL: must be http://HOST, "),
        (["ask", "x", "--url", "http://127.0.0.1:1/a b"], "trunkline: TRUNKLINE_URL: must be http://HOST, "),
        (["up", "--host", "::"], "trunkline: TRUNKLINE_AUTH_SECRET or TRUNKLINE_AUTH_JWKS is required to serve ::, "),
        (["up", "--host", "192.0.2.1"], "trunkline: TRUNKLINE_AUTH_SECRET or TRUNKLINE_AUTH_JWKS is required"),
        (["up", "--fleet", "/nowhere"], "trunkline: /nowhere/fleet.toml: "),
        (["kb", "import", "/nowhere"], "trunkline: /nowhere: no such file or folder"),
        (["bench", "load", "--texts", "/nowhere"], "trunkline: /nowhere: "),
        (["notice", "x", "--audience", "all", "--ttl", "soon"], "trunkline: --ttl 'soon': must be a number"),
        (["kb", "snapshot", "--full"], "trunkline: `trunkline kb snapshot` is now `trunkline kb backup`"),
        (["kb", "list", "--url", "http://127.0.0.1:1"], "trunkline: `trunkline kb list` is now `trunkline kb backups`"),
    ],
)
def test_error_is_one_line_that_names_the_cause(arguments: list[str], line: str, tmp_path: Path) -> None:
    """No traceback, exit status 1, before a process is started or a request is sent."""
    done = subprocess.run([trunkline(), *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_renamed_variable_is_refused(tmp_path: Path) -> None:
    """A command that talks to a suite refuses it too, with the new name."""
    environment = {**os.environ, "TRUNKLINE_SNAPSHOT_URL": "/backups"}
    command = [trunkline(), "status"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr == "trunkline: renamed environment variables: TRUNKLINE_SNAPSHOT_URL is now TRUNKLINE_BACKUP_URL\n"
    )


@pytest.mark.parametrize(
    ("variable", "value", "arguments"),
    [
        ("TRUNKLINE_OPERATOR_TOKEN", "canary", ["up"]),
        ("TRUNKLINE_OPERATOR_TOKEN", "canary\nx: y", ["status"]),
        ("TRUNKLINE_TOKEN", "canary é", ["ask", "x"]),
        ("TRUNKLINE_REPLICAS", "canary", ["up"]),
        ("TRUNKLINE_URL", "canary", ["status"]),
    ],
)
def test_invalid_variable_is_named_without_its_value(
    variable: str, value: str, arguments: list[str], tmp_path: Path
) -> None:
    """A value may be a secret: in the wrong variable, any of them."""
    environment = {**os.environ, variable: value}
    command = [trunkline(), *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"trunkline: {variable}: ")
    assert done.stderr.count("\n") == 1
    assert "canary" not in done.stderr + done.stdout


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_explains_command_and_options(path: tuple[str, ...]) -> None:
    """Every command has a sentence, every option and argument a meaning."""
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        if parameter.name not in {"install_completion", "show_completion"}:
            assert getattr(parameter, "help", None), parameter.name


def test_texts_are_grouped_by_conversation(tmp_path: Path) -> None:
    """Single texts, texts of one conversation, and whole conversations per line."""
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
def test_file_without_texts_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    """The error names the file, and the line if one line is invalid."""
    file = tmp_path / "texts.jsonl"
    file.write_text(content)
    with pytest.raises(CommandError) as raised:
        read_texts(file, NO_FLEET)
    assert str(raised.value).startswith(str(file))
    assert reason in str(raised.value)
