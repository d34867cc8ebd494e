"""Commands of the desk and expired SLAs of one conversation."""

from __future__ import annotations

from typing import Final

import structlog
from prometheus_client import Counter
from trunkline_protocols.desk import DeskMessage, DeskOutcome

from trunkline_conversation.application.repository import CommitCause, ConversationRepository
from trunkline_conversation.core import desk
from trunkline_conversation.core.escalations import breach
from trunkline_conversation.core.steps import Append
from trunkline_conversation.ports import ConversationPorts, Environments

_log: Final = structlog.get_logger(__name__)
_BREACHES: Final = Counter(
    "trunkline_escalation_breaches_total", "Escalations whose SLA expired, by raised urgency", ["urgency"]
)


class DeskProcessor:
    """Applies desk commands in order, each once, and raises overdue escalations."""

    def __init__(
        self, repository: ConversationRepository, ports: ConversationPorts, *, environments: Environments
    ) -> None:
        """Read the environment once per decision."""
        self._repository = repository
        self._log = ports.log
        self._notifier = ports.notifier
        self._environments = environments
        self._applied_seq = 0

    async def process(self, command: DeskMessage, sequence: int) -> None:
        """Apply a command, after those that were lost on the way; confirm a redelivered one again."""
        state = await self._repository.load()
        self._applied_seq = max(self._applied_seq, state.desk_seq)
        if sequence <= self._applied_seq:
            await self._repository.update_escalation_queue()
            await self._notifier.reply_to_desk(command.reply_to, DeskOutcome(done=True))
            return
        if command.previous > self._applied_seq:
            missed_items = await self._log.desk_commands(self._repository.id, after=self._applied_seq, before=sequence)
            for missed in missed_items:
                if isinstance(missed.message, DeskMessage):
                    await self._apply(missed.message, missed.sequence)
        await self._apply(command, sequence)

    async def refuse_erased(self, command: DeskMessage) -> None:
        """Refuse a command for a conversation whose texts are erased."""
        await self._notifier.reply_to_desk(
            command.reply_to, DeskOutcome(done=False, reason="the customer's data was erased")
        )

    async def _apply(self, command: DeskMessage, sequence: int) -> None:
        state = self._environments.with_version(await self._repository.load())
        outcome = DeskOutcome(done=True)
        match desk.decide(state, command, self._environments.read(state.fleet_version)):
            case Append() as decision:
                await self._repository.append(state, decision, CommitCause.of_command(state, command, sequence))
            case desk.Rejected(reason=reason):
                outcome = DeskOutcome(done=False, reason=reason)
            case desk.AlreadyApplied():
                pass
        self._applied_seq = sequence
        await self._notifier.reply_to_desk(command.reply_to, outcome)

    async def raise_overdue(self) -> None:
        """Raise the urgency of the escalation if its SLA has expired."""
        state = self._environments.with_version(await self._repository.load())
        decision = breach(state, self._environments.read(state.fleet_version))
        if decision is None:
            # The entry in the escalation queue is older than the log.
            await self._repository.update_escalation_queue()
            return
        state = await self._repository.append(state, decision, CommitCause.of_timer(state))
        if state.escalation is not None:
            _BREACHES.labels(state.escalation.urgency).inc()
            _log.warning("escalation.breached", conversation=state.id, urgency=state.escalation.urgency)
