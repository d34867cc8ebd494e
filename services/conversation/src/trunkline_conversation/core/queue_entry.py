"""Entry of a conversation in the desk's queue, derived from its state."""

from __future__ import annotations

from itertools import takewhile

from trunkline_protocols.escalation import MAX_EXCERPT_CHARACTERS, EscalationWaiting

from trunkline_conversation.core.state import Conversation


def queue_entry(state: Conversation) -> EscalationWaiting | None:
    """Return the entry of a conversation that waits for or is assigned to a person, None for any other."""
    escalation = state.escalation
    if escalation is None or escalation.level != "person":
        return None
    last = next((each.text for each in reversed(state.transcript) if each.role == "customer"), "")
    return EscalationWaiting(
        key=state.key,
        conversation=state.id,
        region=state.region,
        tenant=state.tenant,
        customer=state.customer,
        escalation=escalation,
        last_message=_excerpt(last),
        messages=state.turns,
        unanswered=sum(1 for _ in takewhile(lambda each: each.role == "customer", reversed(state.transcript))),
    )


def _excerpt(text: str) -> str:
    """Return a message in one line, shortened."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_EXCERPT_CHARACTERS else f"{line[: MAX_EXCERPT_CHARACTERS - 1].rstrip()}…"
