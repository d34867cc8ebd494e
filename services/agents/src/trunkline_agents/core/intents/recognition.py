"""What the probabilities of intents mean: an alarm, a wish for a person, small talk, or an ordinary question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from trunkline_protocols.context import Context
from trunkline_protocols.escalation import Level, Urgency
from trunkline_protocols.evidence import Score
from trunkline_protocols.fleet import EscalationRule, Fleet
from trunkline_protocols.intents import (
    EMERGENCY,
    NEAR_MISS,
    NOT_HELPED,
    OFF_TOPIC,
    PERHAPS_OFF_TOPIC,
    PERSON,
    QUESTION,
    SMALL_TALK,
    UPSET,
    VAGUE,
)
from trunkline_protocols.rules.facts import matches

from trunkline_agents.core.intents.model import RULE_PREFIX, is_general_danger

_MIN_DANGER: Final = 0.35
"""Probability of all emergencies together from which on a message is one: a missed danger costs more than a false
alarm."""

_MIN_ROUTED_DANGER: Final = 0.15
"""The same for a message that is routed to an urgent agent."""

_MARGIN_BY_WORDS: Final = 0.2
"""Added to every threshold if a message has no vector: its words alone are weaker evidence."""

_SECOND_SHARE: Final = 0.35
"""Share of the danger that a second rule needs to add its instruction."""

_MIN_RULE: Final = 0.5
_MIN_PERSON: Final = 0.45
_MIN_INTENT: Final = 0.5
_MIN_OFF_TOPIC: Final = 0.25
"""Such a message is answered too, but only from an article that is certain to fit."""
_MIN_UPSET: Final = 0.35
"""Unseen complaints stay below 0.3, unseen anger above 0.35, in fleets of 3, 4 and 28 agents."""
_MIN_SMALL_TALK: Final = 0.6
"""Probability of all small talk together."""

UNKNOWN_CUSTOMER: Final = Context(tenant="", region="", locale="", transcript=[])
"""A customer without known data."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An escalation because of what a message says, with the instruction that the customer reads first."""

    urgency: Urgency
    level: Level
    reason: str
    say: str = ""
    scores: tuple[Score, ...] = ()
    """Probabilities of the recognised intents."""


def find_alarm(
    probabilities: Mapping[str, float],
    fleet: Fleet,
    *,
    nearest: str = "",
    context: Context = UNKNOWN_CUSTOMER,
    by_words: bool = False,
    routed_to_urgent: bool = False,
) -> Alarm | None:
    """Return the alarm that a message raises: danger first, then a rule of the fleet, a wish for a person, anger.

    `nearest` is the intent of the alarm's example that the message is like; a danger's counts as the danger itself.
    `context` is that of the customer, for rules that are for some customers only. `by_words` says that the message had
    no vector.
    """
    margin = _MARGIN_BY_WORDS if by_words else 0.0
    rules = [rule for rule in fleet.escalation.rules if rule.examples and matches(rule.when, context)]
    critical = {rule.name: rule for rule in rules if rule.urgency == "critical"}
    danger = {name: probabilities.get(f"{RULE_PREFIX}{name}", 0.0) for name in critical}
    other = sum(share for name, share in probabilities.items() if is_general_danger(name))
    total = other + sum(danger.values())
    is_danger = total >= (_MIN_ROUTED_DANGER if routed_to_urgent else _MIN_DANGER) + margin
    if is_danger and total > probabilities.get(NEAR_MISS, 0.0):
        return _danger_alarm(danger, total, critical, fleet)
    if nearest.removeprefix(RULE_PREFIX) in critical or is_general_danger(nearest):
        return _danger_alarm({nearest.removeprefix(RULE_PREFIX): 1.0}, 1.0, critical, fleet)
    for rule in rules:
        if probabilities.get(f"{RULE_PREFIX}{rule.name}", 0.0) >= _MIN_RULE + margin:
            scores = _scores({rule.name: probabilities[f"{RULE_PREFIX}{rule.name}"]})
            return Alarm(rule.urgency, rule.to, f"rule {rule.name}", rule.say, scores)
    if probabilities.get(PERSON, 0.0) >= _MIN_PERSON + margin:
        scores = _scores({PERSON: probabilities[PERSON]})
        return Alarm("normal", "person", "the customer asks for a person", scores=scores)
    if probabilities.get(UPSET, 0.0) >= _MIN_UPSET + margin:
        return Alarm("high", "senior", "the customer is upset", scores=_scores({UPSET: probabilities[UPSET]}))
    return None


def recognise(probabilities: Mapping[str, float], *, by_words: bool = False, is_follow_up: bool = False) -> str:
    """Return the intent of a message that raises no alarm; an empty string for an ordinary question.

    A follow-up to an answer is on its topic.
    """
    margin = _MARGIN_BY_WORDS if by_words else 0.0
    small_talk = {name: probabilities.get(name, 0.0) for name in SMALL_TALK}
    if sum(small_talk.values()) >= _MIN_SMALL_TALK + margin:
        return max(small_talk, key=lambda name: small_talk[name])
    for name in (NOT_HELPED, VAGUE):
        if probabilities.get(name, 0.0) >= _MIN_INTENT + margin:
            return name
    off_topic = probabilities.get(OFF_TOPIC, 0.0)
    if is_follow_up or off_topic < _MIN_OFF_TOPIC + margin:
        return ""
    return OFF_TOPIC if off_topic > probabilities.get(QUESTION, 0.0) else PERHAPS_OFF_TOPIC


def _danger_alarm(
    danger: Mapping[str, float], total: float, rules: Mapping[str, EscalationRule], fleet: Fleet
) -> Alarm:
    """Return the alarm of the most probable rules; the general instruction if no rule of the fleet describes it."""
    known = {name: share for name, share in danger.items() if name in rules and share >= _SECOND_SHARE * total}
    likely = sorted(known, key=lambda name: -known[name])
    says = [rules[name].say for name in likely[:2] if rules[name].say]
    reason = f"rule {likely[0]}" if likely else EMERGENCY
    scores = _scores({name: known[name] for name in likely[:2]} | {EMERGENCY: total})
    return Alarm("critical", "person", reason, "\n\n".join(says) or fleet.escalation.emergency_say, scores)


def _scores(values: Mapping[str, float]) -> tuple[Score, ...]:
    return tuple(Score(name=name, value=round(float(value), 4)) for name, value in values.items())
