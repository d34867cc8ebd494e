"""/v1/ops/status and /v1/ops/trace: the processes of all nodes, and the trace of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from trunkline_ingress.core.archived import is_trimmed
from trunkline_ingress.core.operators import AUDITORS, VIEWERS
from trunkline_ingress.core.trace import build_trace
from trunkline_ingress.handlers.access import Route, operator_of, operators
from trunkline_ingress.handlers.http import conversation_of, json_response
from trunkline_ingress.operator_ports import ConversationArchive, SuiteStatusSource, ViewRecords
from trunkline_ingress.ports import ConversationLog, InboxHistory


@dataclass(frozen=True, slots=True)
class SuiteOps:
    """Handlers for the state of the suite."""

    suite: SuiteStatusSource
    inbox: InboxHistory
    log: ConversationLog
    archive: ConversationArchive
    views: ViewRecords
    region: str

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
        messages = await self.inbox.messages(self.region, conversation)
        commands = await self.inbox.desk_commands(self.region, conversation)
        commits = await self.log.commits(self.region, conversation, after=0)
        entries = [*messages, *commands]
        archives: Sequence[str] = ()
        if is_trimmed(commits) or not (entries or commits):
            archived = await self.archive.read(conversation)
            entries, commits, archives = archived.messages(entries), archived.commits(commits), archived.archives
        if not entries and not commits:
            raise web.HTTPNotFound(text=f"conversation {conversation} not found")
        await self.views.record(self.region, conversation, "trace", operator_of(request))
        return json_response(build_trace(conversation, entries, commits, archives))
