"""`trunkline llm`: output and exit codes."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.model_server import Fault, ModelServer, serve_model
from tests.support.picky_server import PickyServer, serve_picky
from tests.support.suite import trunkline

pytestmark = pytest.mark.processes


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModelServer]:
    """Serve one provider of `llm.toml`; the other one is unreachable."""
    async with serve_model(ModelServer()) as server:
        providers = [("primary", server.url), ("gone", "http://127.0.0.1:1/v1")]
        (tmp_path / "llm.toml").write_text(
            "".join(
                f'[[provider]]\nname = "{name}"\nkind = "openai"\nbase_url = "{url}"\nmodels = ["small"]\n'
                for name, url in providers
            )
        )
        yield server


async def run(config: Path | None, *arguments: str) -> tuple[int, str, str]:
    """Run the command; return exit code, stdout and stderr."""
    environment = dict(os.environ)
    environment.pop("TRUNKLINE_LLM_CONFIG", None)
    if config is not None:
        environment["TRUNKLINE_LLM_CONFIG"] = str(config)
    process = await asyncio.create_subprocess_exec(
        trunkline(), "llm", *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def test_prompt_is_answered_by_the_provider(server: ModelServer, tmp_path: Path) -> None:
    """The text is on stdout, statistics on stderr; JSON is one object."""
    code, out, err = await run(tmp_path / "llm.toml", "How long?")
    assert (code, out) == (0, server.text + "\n")
    assert "primary / small" in err
    assert server.requests[0]["messages"] == [{"role": "user", "content": "How long?"}]
    code, out, _ = await run(tmp_path / "llm.toml", "How long?", "--provider", "primary", "--json")
    reply = json.loads(out)
    assert (code, reply["text"], reply["provider"], reply["usage"]["output_tokens"]) == (0, server.text, "primary", 100)


async def test_failure_is_one_line_and_an_exit_code(server: ModelServer, tmp_path: Path) -> None:
    """For an unreachable or unknown provider, a failed fallback and an invalid configuration."""
    for arguments, reason in [
        (("Hi", "--provider", "gone"), "connect: gone: "),
        (("Hi", "--provider", "missing"), "unknown provider 'missing'; must be one of: primary, gone"),
    ]:
        code, out, err = await run(tmp_path / "llm.toml", *arguments)
        assert (code, out) == (1, "")
        assert err.startswith(f"trunkline: {reason}")
        assert err.count("\n") == 1
    server.always = Fault("bad request")
    code, _, err = await run(tmp_path / "llm.toml", "Hi")
    assert (code, err.splitlines()[-1]) == (1, "trunkline: primary: request; gone: connect")
    (tmp_path / "llm.toml").write_text("[[provider]]\n")
    code, _, err = await run(tmp_path / "llm.toml", "Hi")
    assert code == 1
    assert f"trunkline: {tmp_path / 'llm.toml'}: " in err


async def test_missing_configuration_is_reported() -> None:
    """The answer names the variable to set."""
    code, out, _ = await run(None, "Hi")
    assert code == 0
    assert "TRUNKLINE_LLM_CONFIG" in out


async def test_check_prints_the_lines_to_configure(tmp_path: Path) -> None:
    """On stdout, the findings on stderr; JSON is one object; a server that fails is an exit code."""
    picky = PickyServer(refused=frozenset({"stream_options"}), usage="always")
    async with serve_picky(picky):
        config = tmp_path / "llm.toml"
        config.write_text(
            f'[[provider]]\nname = "own"\nkind = "openai"\nbase_url = "{picky.url}"\nmodels = ["small"]\n'
            '[[provider]]\nname = "gone"\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["small"]\n'
        )
        code, out, err = await run(config, "--check", "--provider", "own")
        assert (code, out) == (0, "# [[provider]] own\nstream_options = false\n")
        assert "tools" in err
        code, out, _ = await run(config, "--check", "--provider", "own", "--json")
        assert (code, json.loads(out)["settings"]) == (0, {"stream_options": False})
        code, out, err = await run(config, "--check", "--provider", "gone")
        assert (code, out) == (1, "")
        assert "trunkline: gone / small: connect: " in err
        code, _, err = await run(config, "--check")
        assert (code, err) == (1, "trunkline: --provider must be one of: own, gone\n")
        assert (await run(config, "Hi", "--check"))[0] == 2
