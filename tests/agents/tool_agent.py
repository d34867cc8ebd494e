"""An agent with external tools, a real ledger and real clients, for tests of tools."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trunkline_agents.adapters.call_limits import KvCallLimits
from trunkline_agents.adapters.http_tools import HttpToolClient
from trunkline_agents.adapters.mcp_tools import McpToolClient
from trunkline_agents.adapters.schema_checker import ProcessSchemaChecker
from trunkline_agents.adapters.tool_ledger import KvToolLedger
from trunkline_agents.adapters.tool_secrets import ToolSecrets
from trunkline_agents.application.tool_loop import ModelOutcome, ToolLoop, ToolLoopResult
from trunkline_agents.application.tool_session import BuiltInTool, ToolTask
from trunkline_agents.ports import ToolPorts
from trunkline_chassis.bus import Bus
from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.accounting import Usage
from trunkline_protocols.completion import Complete, Completed
from trunkline_protocols.context import Context
from trunkline_protocols.fleet import Agent, Company, Fleet, KnowledgeFilter, Tool
from trunkline_protocols.tool_steps import ToolCall

from tests.agents.builders import make_request
from tests.agents.fakes import ScriptedModel
from tests.support.borders import ListedBorders

Script = Callable[[Complete], Completed]
"""The model's reply as a function of the request."""

CONTEXT = Context(tenant="default", region="local", locale="en", transcript=[], customer="ada", tier="plus")


def answer(text: str = "Done.", calls: list[ToolCall] | None = None) -> Completed:
    return Completed(
        text=text,
        provider="p",
        model="m",
        tool_calls=calls or [],
        usage=Usage(input_tokens=10, output_tokens=1, cost=1.0),
    )


def calling(*calls: ToolCall) -> Script:
    """Return a script that requests these calls once and then answers with their outcomes."""

    def script(request: Complete) -> Completed:
        if not request.tool_steps:
            return answer("One moment.", list(calls))
        return answer(" | ".join(outcome.text for outcome in request.tool_steps[-1].outcomes))

    return script


@dataclass
class Environment:
    """The operator's settings of tools."""

    mcp_commands: Sequence[Sequence[str]] = ()
    secret_hosts: dict[str, list[str]] = field(default_factory=lambda: {"shop-key": ["127.0.0.1"]})
    now: Callable[[], float] = time.time


class ToolAgent:
    """An agent with tools and a real ledger."""

    def __init__(
        self,
        bus: Bus,
        tools: list[Tool],
        turn: str,
        environment: Environment,
        borders: BorderGuard | None = None,
    ) -> None:
        self._bus = bus
        self._turn = turn
        self.context = CONTEXT
        names = ["search_knowledge", "consult", "escalate", "handoff", *(tool.name for tool in tools)]
        self._agent = Agent(
            name="billing-refunds",
            specialty="billing",
            title="refunds specialist",
            description="refunds",
            tone="kind",
            hand_off_to=["technical"],
            examples=["x"] * 10,
            knowledge=KnowledgeFilter(topics=["refunds"]),
            consult=["technical"],
            tools=names,
        )
        line = "x"
        company = Company(name=line, description=line, greeting=line, clarify=line, abstain=line, examples=[line])
        self._fleet = Fleet(company=company, agents=[self._agent], tools=tools)
        secrets = ToolSecrets(lambda name: f"secret of {name}", environment.secret_hosts)
        self._http = HttpToolClient(secrets)
        self._schemas = ProcessSchemaChecker()
        self.borders = borders or ListedBorders()
        self._tools = ToolPorts(
            clients={"http": self._http, "mcp": McpToolClient(secrets, environment.mcp_commands)},
            schemas=self._schemas,
            limits=KvCallLimits(bus, environment.now),
            borders=self.borders,
        )
        self.model: ScriptedModel | None = None
        self.result: ToolLoopResult | None = None

    async def attempt(
        self, script: Script, *, by: str = "try-1", turn: str = "", built_in: dict[str, BuiltInTool] | None = None
    ) -> ModelOutcome:
        """Run one attempt at the turn."""
        self.model = ScriptedModel(script)
        loop = ToolLoop(self.model, KvToolLedger(self._bus), self._tools)
        self.result = await loop.run(
            ToolTask(
                request=make_request("refund me", turn=turn or self._turn, hop=0, context=self.context),
                fleet=self._fleet,
                agent=self._agent,
                completion=Complete(instructions="i", text="q"),
                by=by,
                built_in=built_in or {},
                passages=[],
            )
        )
        return self.result.outcome

    def uses(self) -> list[tuple[str, str]]:
        """Return tool and outcome of each call reported by the last attempt."""
        assert self.result is not None
        return [(use.tool, use.outcome) for use in self.result.uses]

    async def close(self) -> None:
        await self._http.close()
        await self._schemas.close()


def text_of(outcome: ModelOutcome) -> str:
    assert isinstance(outcome, Completed), outcome
    return outcome.text
