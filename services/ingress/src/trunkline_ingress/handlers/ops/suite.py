"""/v1/ops/status and /v1/ops/trace: the processes of all nodes, and the trace of a conversation."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from trunkline_ingress.application.trace_reader import TraceReader
from trunkline_ingress.core.operators import AUDITORS, VIEWERS
from trunkline_ingress.handlers.access import Route, operator_of, operators
from trunkline_ingress.handlers.http import conversation_of, json_response
from trunkline_ingress.operator_ports import SuiteStatusSource


@dataclass(frozen=True, slots=True)
class SuiteOps:
    """Handlers for the state of the suite."""

    suite: SuiteStatusSource
    traces: TraceReader

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/v1/ops/status", self.status, operators(VIEWERS)),
            Route("GET", "/v1/ops/trace/{conversation}", self.trace, operators(AUDITORS)),
        ]

    async def status(self, _: web.Request) -> web.Response:
        """Return the status of every process."""
        return json_response(await self.suite.status())

    async def trace(self, request: web.Request) -> web.Response:
        """Return the trace of a conversation."""
        conversation = conversation_of(request)
        trace = await self.traces.read(conversation, operator_of(request))
        if trace is None:
            raise web.HTTPNotFound(text=f"conversation {conversation} not found")
        return json_response(trace)
