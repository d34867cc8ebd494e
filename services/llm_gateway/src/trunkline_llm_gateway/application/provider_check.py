"""Check of a provider: finds out by a bounded number of small requests how its server must be configured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from trunkline_protocols.completion import Complete

from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.core.provider_probes import (
    CONTINUED,
    CheckReport,
    ProviderFinding,
    Settings,
    Verdict,
    changed,
    continuation_modes,
    continuation_request,
    is_continuation,
    repair_for,
    request_variants,
    text_request,
    tool_request,
    tool_result_request,
)
from trunkline_llm_gateway.ports import Call, Provider, ProviderError, ProviderResult

_REFUSED: Final = "request"
_MAX_REPAIRS: Final = 3
"""Changes of settings for what a server sends, after which the check gives up."""


class _Answer(msgspec.Struct, frozen=True):
    text: str
    result: ProviderResult


class ProviderCheck:
    """Checks one provider with one of its models."""

    def __init__(self, config: ProviderConfig, make: Callable[[ProviderConfig], Provider], model: str) -> None:
        """`make` builds the adapter of a configuration."""
        self._config = config
        self._make = make
        self._model = model
        self._found: Settings = {}
        self._findings: list[ProviderFinding] = []

    async def run(self) -> CheckReport:
        """Send the requests and return the findings; a failure of the server is one of them."""
        works = await self._check_text()
        if works:
            await self._check_usage()
            await self._check_tools()
            await self._check_continuation()
        settings = changed(self._config, self._found)
        return CheckReport(self._config.name, self._model, works, self._findings, settings)

    async def _check_text(self) -> bool:
        """Find the fields with which the server completes a text at all."""
        error = ProviderError("request", "no variant of the request is accepted")
        for variant in request_variants(self._config):
            try:
                await self._complete_text(variant)
            except ProviderError as failure:
                error = failure
                if failure.code != _REFUSED:
                    break
                continue
            self._add(
                "text", "yes", ", ".join(f"{name} = {value}" for name, value in self._found.items()) or "as configured"
            )
            return True
        self._add("text", "no", f"{error.code}: {error}")
        return False

    async def _complete_text(self, variant: Settings) -> None:
        """Complete a text, adapting the settings for what the server sends; raise `ProviderError` if that fails."""
        settings = dict(variant)
        for _ in range(_MAX_REPAIRS):
            try:
                answer = await self._ask(text_request(), settings)
            except ProviderError as error:
                repair = repair_for(error.code)
                if not repair.items() - settings.items():
                    raise
            else:
                flaw = _flaw_of(answer)
                repair = repair_for(flaw)
                if not repair.items() - settings.items():
                    if flaw == "empty":
                        break
                    self._found = settings
                    return
            settings |= repair
        raise ProviderError("empty", f"{self._config.name}: answer without text")

    async def _check_usage(self) -> None:
        answer = await self._try(text_request())
        if isinstance(answer, _Answer) and answer.result.usage.estimated and not self._config.stream_options:
            requested = await self._try(text_request(), {"stream_options": True})
            if isinstance(requested, _Answer) and not requested.result.usage.estimated:
                self._found["stream_options"] = True
                answer = requested
        is_reported = isinstance(answer, _Answer) and not answer.result.usage.estimated
        self._add("usage", "yes" if is_reported else "no", "reported" if is_reported else "not reported, estimated")

    async def _check_tools(self) -> None:
        answer = await self._try(tool_request())
        if isinstance(answer, ProviderError):
            self._found["tools"] = False
            self._add("tools", "no", f"{answer.code}: {answer}")
            return
        if not answer.result.tool_calls:
            self._add("tools", "unclear", "accepted, but the model called none")
            return
        result = await self._try(tool_result_request())
        if isinstance(result, ProviderError) and result.code == _REFUSED:
            short = {"tool_call_ids": "nine_characters"}
            if isinstance(await self._try(tool_result_request(), short), _Answer):
                self._found |= short
                self._add("tools", "yes", "called; ids of nine characters")
                return
        if isinstance(result, ProviderError):
            self._found["tools"] = False
            self._add("tools", "no", f"called, but their results are refused: {result.code}: {result}")
        else:
            self._add("tools", "yes", "called")

    async def _check_continuation(self) -> None:
        for mode in continuation_modes(self._config):
            answer = await self._try(continuation_request(), {"continues": mode}, prefix=CONTINUED)
            if isinstance(answer, _Answer) and is_continuation(answer.text):
                self._found["continues"] = mode
                self._add("continues", "yes", mode)
                return
        self._found["continues"] = "no"
        self._add("continues", "no", "a text of another provider is replaced, not continued")

    def _add(self, name: str, verdict: Verdict, detail: str) -> None:
        self._findings.append(ProviderFinding(name, verdict, detail))

    async def _try(
        self, request: Complete, settings: Settings | None = None, *, prefix: str = ""
    ) -> _Answer | ProviderError:
        """Complete a request with the settings found so far and others; return the failure instead of raising it."""
        try:
            return await self._ask(request, {**self._found, **(settings or {})}, prefix=prefix)
        except ProviderError as error:
            return error

    async def _ask(self, request: Complete, settings: Settings, *, prefix: str = "") -> _Answer:
        provider = self._make(msgspec.structs.replace(self._config, **settings))
        pieces: list[str] = []

        async def keep(piece: str) -> None:
            pieces.append(piece)

        try:
            result = await provider.complete(Call(request, self._model, prefix), keep)
        finally:
            await provider.close()
        return _Answer("".join(pieces), result)


def _flaw_of(answer: _Answer) -> str:
    """Return the flaw of an answer that a setting may avert, empty without one."""
    if not answer.text.strip():
        return "empty"
    return "unopened_thought" if "unopened_thought" in answer.result.oddities else ""
