"""`trunkline llm`: test a model provider with the gateway's own code, without a running suite."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from trunkline_chassis.logs import configure_logs
from trunkline_llm_gateway.adapters.config_file import load_config
from trunkline_llm_gateway.app import make_provider
from trunkline_llm_gateway.application.gateway import Gateway
from trunkline_llm_gateway.application.provider_check import ProviderCheck
from trunkline_llm_gateway.application.provider_registry import ProviderRegistry
from trunkline_llm_gateway.core.budgets import Spending
from trunkline_llm_gateway.core.config import IN_PROCESS_KINDS, ConfigError, ProviderConfig
from trunkline_llm_gateway.core.provider_probes import CheckReport, as_toml
from trunkline_llm_gateway.settings import GatewaySettings
from trunkline_protocols import codec
from trunkline_protocols.completion import Complete, Completed, DeltaTarget
from trunkline_protocols.ids import ConversationId, Instance, TurnId, TurnRef
from trunkline_protocols.turn import Delta

from trunkline_cli.errors import CommandError

_TIMEOUT_S: Final = 110.0
_DELTA_TARGET: Final = DeltaTarget(
    ref=TurnRef(conversation=ConversationId("cli"), turn=TurnId("cli-1"), attempt=1, hop=0), ingress=Instance("cli")
)
_NO_MODEL: Final = "No model is configured: set TRUNKLINE_LLM_CONFIG; the built-in provider only quotes articles."


async def complete(prompt: str, *, provider: str, as_json: bool, out: TextIO) -> None:
    """Complete a prompt and print the answer as it streams; `provider` defaults to the default route."""
    configure_logs(service="trunkline", instance="cli", level="error", style="console")
    rng = random.Random().random  # noqa: S311 - jitter, not secrets
    registry = _open_registry(provider, rng)
    printer = _Printer(None if as_json else out)
    gateway = Gateway(registry, spending=Spending("cli"), send=printer.show, rng=rng)
    request = Complete(
        instructions="",
        text=prompt,
        abstain=_NO_MODEL,
        stream_to=_DELTA_TARGET,
        provider=provider,
        deadline_at=time.time() + _TIMEOUT_S,
        timeout_s=_TIMEOUT_S,
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(gateway.run())
            reply = await gateway.complete(request)
            running.cancel()
    finally:
        await registry.close()
    if not isinstance(reply, Completed):
        raise CommandError(f"{reply.code}: {reply.message}")
    if as_json:
        out.write(_as_json(reply))
    else:
        printer.finish(reply.text)
        _print_summary(reply)
    if reply.degraded:
        # Each failure once, in order of occurrence.
        failures = dict.fromkeys(
            f"{attempt.provider}: {attempt.outcome}" for attempt in reply.attempts if attempt.outcome != "answered"
        )
        raise CommandError("; ".join(failures) or reply.degraded)


async def check(provider: str, *, as_json: bool, out: TextIO) -> None:
    """Check a provider and print the findings, then the lines of its configuration to add or change."""
    configure_logs(service="trunkline", instance="cli", level="error", style="console")
    config = _remote_provider(provider)
    report = await ProviderCheck(config, make_provider, config.models[0]).run()
    if as_json:
        out.write(codec.encode(report).decode() + "\n")
    else:
        _print_findings(report)
    if not report.works:
        raise CommandError(f"{report.provider} / {report.model}: {report.findings[-1].detail}")
    if not as_json:
        lines = as_toml(report.settings) or "# nothing to change\n"
        out.write(f"# [[provider]] {report.provider}\n{lines}")


def _remote_provider(name: str) -> ProviderConfig:
    """Return a configured provider with a server, the only one if `name` is empty; raise `CommandError`."""
    try:
        config = load_config(GatewaySettings().llm_config)
    except ConfigError as error:
        raise CommandError(str(error)) from error
    remote = {each.name: each for each in config.provider if each.kind not in IN_PROCESS_KINDS}
    if not remote:
        raise CommandError("no provider with a server is configured: set TRUNKLINE_LLM_CONFIG")
    if not name and len(remote) == 1:
        name = next(iter(remote))
    if name not in remote:
        raise CommandError(f"--provider must be one of: {', '.join(remote)}")
    return remote[name]


def _print_findings(report: CheckReport) -> None:
    table = Table(title=f"{report.provider} / {report.model}", box=None, title_justify="left")
    for heading in ("probe", "", "detail"):
        table.add_column(heading)
    for finding in report.findings:
        table.add_row(finding.name, finding.verdict, escape(finding.detail))
    Console(stderr=True, highlight=False, soft_wrap=True).print(table)


def _open_registry(provider: str, rng: Callable[[], float]) -> ProviderRegistry:
    """Return the configured providers; raise `CommandError` if `provider` is not one of them."""
    try:
        config = load_config(GatewaySettings().llm_config)
        registry = ProviderRegistry(config, make_provider, rng)
    except ConfigError as error:
        raise CommandError(str(error)) from error
    names = [configured.name for configured in config.provider]
    if provider and provider not in names:
        raise CommandError(f"unknown provider {provider!r}; must be one of: {', '.join(names)}")
    return registry


class _Printer:
    """Prints the text of an answer as it streams; without `out` it discards it."""

    def __init__(self, out: TextIO | None) -> None:
        self._out = out
        self._shown = ""

    async def show(self, _: str, delta: Delta) -> None:
        """Print a delta."""
        self._print(delta.text if delta.replace else self._shown + delta.text)

    def finish(self, text: str) -> None:
        """Print what no delta had of the complete answer: its end comes with the reply alone."""
        self._print(text)

    def _print(self, text: str) -> None:
        is_continued = text.startswith(self._shown)
        if self._out is not None:
            self._out.write(text[len(self._shown) :] if is_continued else f"\n-- restarted --\n{text}")
            self._out.flush()
        self._shown = text


def _as_json(reply: Completed) -> str:
    """Return all fields as JSON, including those with default values."""
    fields = {name: getattr(reply, name) for name in reply.__struct_fields__}
    usage = {name: getattr(reply.usage, name) for name in reply.usage.__struct_fields__}
    return codec.encode({**fields, "usage": usage}).decode() + "\n"


def _print_summary(reply: Completed) -> None:
    usage = reply.usage
    sys.stdout.write("\n")
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"[dim]-- {reply.provider} / {reply.model}: first token {reply.first_token_ms:.0f} ms, "
        f"all {reply.model_ms:.0f} ms, {usage.input_tokens} + {usage.output_tokens} tokens, ${usage.cost:.6f}, "
        f"{reply.stop_reason}[/]"
    )
