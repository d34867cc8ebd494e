"""The check of a provider: its lines of configuration make a server work that did not, and name what it can do."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from trunkline_llm_gateway.app import make_provider
from trunkline_llm_gateway.application.provider_check import ProviderCheck
from trunkline_llm_gateway.core.config import parse_config
from trunkline_llm_gateway.core.provider_probes import CheckReport, as_toml
from trunkline_protocols.completion import Completed

from tests.llm_gateway.gateway_harness import make_request, provider_config, running_gateway
from tests.support.picky_server import GREETING, PickyServer, serve_picky

SERVERS: dict[str, tuple[PickyServer, dict[str, Any], dict[str, str]]] = {
    # server: its settings, and the verdicts of the probes
    "documented": (PickyServer(), {}, {"text": "yes", "usage": "yes", "tools": "yes", "continues": "no"}),
    "refuses unknown fields, wants short ids": (
        PickyServer(
            refused=frozenset({"stream_options", "max_completion_tokens", "continue_final_message"}),
            usage="always",
            short_ids=True,
            continues="mistral",
        ),
        {"stream_options": False, "tool_call_ids": "nine_characters", "continues": "mistral"},
        {"text": "yes", "usage": "yes", "tools": "yes", "continues": "yes"},
    ),
    "reasons": (
        PickyServer(refused=frozenset({"max_tokens", "temperature"}), thoughts="field", min_tokens=2_000),
        {"max_tokens_field": "max_completion_tokens", "sends_temperature": False, "thinking_tokens": 4096},
        {"text": "yes", "usage": "yes"},
    ),
    "thinks in the text": (
        PickyServer(thoughts="prefilled", continues="vllm", tools="ignored"),
        {"thinking": "prefilled", "continues": "vllm"},
        {"text": "yes", "tools": "unclear", "continues": "yes"},
    ),
    "thinks between tags": (PickyServer(thoughts="tags"), {}, {"text": "yes"}),
    "has no finish reason": (
        PickyServer(has_finish_reason=False, usage="never", continues="prefill"),
        {"ends_with": "done", "continues": "prefill"},
        {"text": "yes", "usage": "no", "continues": "yes"},
    ),
    "has no tools": (PickyServer(tools="refused"), {"tools": False}, {"text": "yes", "tools": "no"}),
    "refuses everything": (PickyServer(refused=frozenset({"messages"})), {}, {"text": "no"}),
}


async def _check(url: str, **changes: Any) -> CheckReport:
    return await ProviderCheck(provider_config("primary", url, **changes), make_provider, "small").run()


@pytest.mark.parametrize(("server", "settings", "verdicts"), SERVERS.values(), ids=SERVERS)
async def test_settings_of_a_server_are_found(
    server: PickyServer, settings: dict[str, Any], verdicts: dict[str, str]
) -> None:
    """By a bounded number of requests."""
    async with serve_picky(server):
        server.requests.clear()
        report = await _check(server.url)
        assert report.settings == settings
        assert {finding.name: finding.verdict for finding in report.findings}.items() >= verdicts.items()
        assert report.works == (verdicts["text"] == "yes")
        assert len(server.requests) <= 20


@pytest.mark.parametrize("name", [name for name, (*_, verdicts) in SERVERS.items() if verdicts["text"] == "yes"])
async def test_found_settings_make_the_provider_work(name: str) -> None:
    """The printed lines are valid configuration, and with them the gateway gets whole answers only."""
    server, *_ = SERVERS[name]
    async with serve_picky(server):
        report = await _check(server.url)
        text = f'[[provider]]\nname = "primary"\nkind = "openai"\nbase_url = "{server.url}"\nmodels = ["small"]\n'
        provider = parse_config(text + as_toml(report.settings), "llm.toml").provider[0]
        async with running_gateway(provider) as harness:
            request = make_request(temperature=0.0, stream_to=None)
            reply = await harness.gateway.complete(request)
            assert isinstance(reply, Completed)
            assert (reply.text, reply.provider, reply.attempts) == (GREETING, "primary", [])


async def test_usage_is_requested_if_a_preset_did_not() -> None:
    """A budget is more exact with it."""
    async with serve_picky(PickyServer()) as server:
        assert (await _check(server.url, stream_options=False)).settings == {"stream_options": True}


async def test_capabilities_that_a_server_has_lost_are_removed() -> None:
    """A configured continuation that the server answers from the beginning."""
    async with serve_picky(PickyServer()) as server:
        assert (await _check(server.url, continues="prefill")).settings == {"continues": "no"}


@pytest.mark.parametrize(("url", "code"), [("http://127.0.0.1:1/v1", "connect"), ("", "status")])
async def test_server_that_does_not_answer_is_the_finding(url: str, code: str) -> None:
    """Unreachable, or another path: no variant of the request helps, so none is tried."""
    async with serve_picky(PickyServer()) as server:
        report = await _check(url or server.url.removesuffix("/v1"))
    assert not report.works
    assert [finding.detail.split(":")[0] for finding in report.findings] == [code]
    assert msgspec.json.encode(report)
