"""Emergencies in a language that the fleet does not serve."""

from __future__ import annotations

from dataclasses import replace

from trunkline_protocols.fleet import Fleet
from trunkline_protocols.intents import EMERGENCY

from trunkline_agents.core.intents.recognition import Alarm
from trunkline_agents.core.languages import LanguageTexts


def with_foreign_emergency(
    alarm: Alarm | None, text: str, language: str, *, texts: LanguageTexts, fleet: Fleet
) -> Alarm | None:
    """Return the alarm of a message with what its language adds.

    `alarm` is that of the fleet's examples, `language` the unserved language of the message if it is certain. A phrase
    that means danger in an unserved language raises an alarm by itself. The customer first reads the line about
    emergencies in that language, then the instruction of the fleet.
    """
    spoken = texts.language_of_danger(text, fleet.company.served_languages)
    if spoken and (alarm is None or alarm.urgency != "critical"):
        alarm = Alarm("critical", "person", f"{EMERGENCY} in another language", fleet.escalation.emergency_say)
    if alarm is None or alarm.urgency != "critical" or not (language or spoken):
        return alarm
    return replace(alarm, say=f"{texts.emergency(language or spoken)}\n\n{alarm.say}")
