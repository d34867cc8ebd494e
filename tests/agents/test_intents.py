"""Danger, a wish for a person and small talk are recognised by examples, in a fleet without any configuration."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from trunkline_agents.core.intents.examples import labelled_examples
from trunkline_agents.core.intents.model import IntentModel
from trunkline_agents.core.intents.recognition import find_alarm, recognise
from trunkline_agents.core.intents.training import fit_intents
from trunkline_agents.core.routing.artefact import RoutingModel, decode, encode
from trunkline_agents.core.routing.training import train
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_embedding import message_embedder
from trunkline_embedding.minilm import MinilmEmbedder
from trunkline_protocols.context import Context, Fact
from trunkline_protocols.fleet import EscalationPolicy, EscalationRule, Fleet

from tests.agents.builders import BUILT_IN, LANGUAGES, small_fleet
from tests.support.weights import minilm_weights

SHOP = small_fleet()


class Recogniser:
    """The intents of a fleet, by meaning."""

    def __init__(self, fleet: Fleet, embedder: MinilmEmbedder) -> None:
        self.fleet = fleet
        self._embedder = message_embedder(embedder)
        examples = labelled_examples(fleet, BUILT_IN)
        self._model = fit_intents(examples, self._embedder.embed([text for text, _ in examples]))

    def probabilities(self, text: str) -> dict[str, float]:
        return self._model.probabilities(text, self._embedder.embed([text])[0])

    def nearest_alarm(self, text: str) -> str:
        return self._model.nearest_alarm(self._embedder.embed([text])[0])


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> MinilmEmbedder:
    return MinilmEmbedder(minilm_weights(tmp_path_factory.mktemp("minilm")))


@pytest.fixture(scope="module")
def shop(embedder: MinilmEmbedder) -> Recogniser:
    """A fleet without rules."""
    return Recogniser(SHOP, embedder)


@pytest.fixture(scope="module")
def demo(embedder: MinilmEmbedder) -> Recogniser:
    return Recogniser(load_fleet(Path(__file__).parents[2] / "fleet"), embedder)


@pytest.mark.processes
@pytest.mark.parametrize(
    "text",
    [
        "could one of your staff sort this out with me",
        "I'd sooner deal with a living person",
        "get me somebody who works there",
    ],
)
def test_wish_for_a_person_is_recognised_without_configuration(shop: Recogniser, text: str) -> None:
    """In wordings that are no example."""
    alarm = find_alarm(shop.probabilities(text), SHOP)
    assert alarm is not None
    assert (alarm.level, alarm.urgency) == ("person", "normal")


@pytest.mark.processes
@pytest.mark.parametrize(
    "text", ["the kettle is in flames!", "my little boy has swallowed a magnet", "grandma got an electric shock"]
)
def test_emergency_is_recognised_without_configuration(shop: Recogniser, text: str) -> None:
    """The general instruction comes with it."""
    alarm = find_alarm(shop.probabilities(text), SHOP)
    assert alarm is not None
    assert (alarm.level, alarm.urgency, alarm.say) == ("person", "critical", SHOP.escalation.emergency_say)


@pytest.mark.processes
@pytest.mark.parametrize(
    "text", ["my kettle is on fire", "the dishwasher is burning", "my bed is on fire", "the charger is smoking"]
)
def test_emergency_with_a_thing_that_the_fleet_does_not_know(demo: Recogniser, text: str) -> None:
    """Near misses such as "that sale is on fire" must not outweigh it."""
    alarm = find_alarm(demo.probabilities(text), demo.fleet)
    assert alarm is not None
    assert (alarm.level, alarm.urgency) == ("person", "critical")


@pytest.mark.processes
@pytest.mark.parametrize("text", ["that new album is fire", "your sale is on fire", "the dryer does not get warm"])
def test_near_miss_of_an_unknown_thing_raises_no_alarm(demo: Recogniser, text: str) -> None:
    """The words of a fire, or the thing of one, are not enough."""
    assert find_alarm(demo.probabilities(text), demo.fleet) is None


@pytest.mark.processes
@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("our baby has gulped down the little cell of the sensor", "swallowed-battery"),
        ("thick smoke rises from the router", "fire"),
        ("there's a strong gas odour by the boiler", "gas"),
    ],
)
def test_rule_of_the_fleet_brings_its_own_instruction(demo: Recogniser, text: str, rule: str) -> None:
    """The most probable rule leads."""
    says = {each.name: each.say for each in demo.fleet.escalation.rules}
    alarm = find_alarm(demo.probabilities(text), demo.fleet)
    assert alarm is not None
    assert alarm.urgency == "critical"
    assert alarm.say.startswith(says[rule])


@pytest.mark.processes
def test_message_like_one_example_of_a_danger_raises_its_alarm(embedder: MinilmEmbedder) -> None:
    """Although its wording is unlike those of the other examples, which the regression goes by."""
    examples = [
        "someone is drowning",
        "a swimmer is not moving",
        "there's a man face down in the pool",
        "my son went under and hasn't come up",
        "somebody is unconscious in the water",
    ]
    rule = EscalationRule(name="drowning", urgency="critical", examples=examples, say="Press the red button.")
    pool = msgspec.structs.replace(SHOP, escalation=EscalationPolicy(rules=[rule]))
    recogniser = Recogniser(pool, embedder)
    text = "my little one went under and isn't coming back up"
    alarm = find_alarm(recogniser.probabilities(text), pool, nearest=recogniser.nearest_alarm(text))
    assert alarm is not None
    assert (alarm.reason, alarm.say) == ("rule drowning", "Press the red button.")
    for other in ("my parcel went astray and isn't coming back", "hello", "how deep is the pool"):
        assert not recogniser.nearest_alarm(other)


@pytest.mark.processes
@pytest.mark.parametrize(
    "text",
    [
        "where is my invoice",
        "my firewall refuses the update",
        "the price made me gasp",
        "how warm does the charger get",
        "yes please",
    ],
)
def test_ordinary_question_raises_no_alarm(demo: Recogniser, text: str) -> None:
    """Although it shares words with an emergency."""
    assert find_alarm(demo.probabilities(text), demo.fleet) is None


@pytest.mark.processes
@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("many thanks, that was it", "thanks"),
        ("toodle-oo, bye", "goodbye"),
        ("I did that, no difference", "not_helped"),
    ],
)
def test_small_talk_and_failed_advice_are_recognised(shop: Recogniser, text: str, intent: str) -> None:
    """A question with a courtesy is a question."""
    assert recognise(shop.probabilities(text)) == intent
    assert recognise(shop.probabilities(f"{text}, but why was my card charged twice for the order?")) == ""


def test_danger_counts_from_a_low_probability_and_other_rules_from_a_high_one() -> None:
    """A missed danger costs more than a false alarm."""
    rules = [
        EscalationRule(name="fire", urgency="critical", examples=["fire"] * 5, say="Out!"),
        EscalationRule(name="legal", urgency="high", to="person", examples=["sue"] * 5),
    ]
    fleet = msgspec.structs.replace(SHOP, escalation=EscalationPolicy(rules=rules))
    danger = find_alarm({"rule:fire": 0.4, "question": 0.6}, fleet)
    assert danger is not None
    assert (danger.urgency, danger.level, danger.say) == ("critical", "person", "Out!")
    assert find_alarm({"rule:fire": 0.4, "near_miss": 0.5}, fleet) is None
    assert find_alarm({"rule:fire": 0.4, "question": 0.6}, fleet, by_words=True) is None
    assert find_alarm({"rule:legal": 0.4, "question": 0.6}, fleet) is None
    legal = find_alarm({"rule:legal": 0.6}, fleet)
    assert legal is not None
    assert (legal.urgency, legal.level) == ("high", "person")
    ordinary = {"rule:fire": 0.1, "question": 0.9}
    for nearest, reason in (("rule:fire", "rule fire"), ("emergency", "emergency"), ("agent:safety-1", "emergency")):
        like_an_example = find_alarm(ordinary, fleet, nearest=nearest)
        assert like_an_example is not None
        assert (like_an_example.urgency, like_an_example.reason) == ("critical", reason)
    assert find_alarm(ordinary, fleet, nearest="rule:legal") is None
    routed = {"emergency": 0.2, "question": 0.8}
    assert find_alarm(routed, fleet) is None
    assert find_alarm(routed, fleet, routed_to_urgent=True) is not None


def test_question_that_is_less_probable_than_off_topic_is_off_topic() -> None:
    """Unless it follows an answer, which was on topic."""
    assert recognise({"off_topic": 0.5, "question": 0.4}) == "off_topic"
    assert recognise({"off_topic": 0.3, "question": 0.6}) == "perhaps_off_topic"
    assert recognise({"off_topic": 0.2, "question": 0.6}) == ""
    assert recognise({"off_topic": 0.5, "question": 0.4}, is_follow_up=True) == ""


def test_artefact_contains_the_intents() -> None:
    """Probabilities are the same after it was stored, by words and by embedding."""
    trained = train(SHOP, "v", lambda texts: np.eye(len(texts), 8, dtype=np.float32), built_in=BUILT_IN)
    model: RoutingModel = decode(encode(trained))
    vector = np.eye(1, 8, dtype=np.float32)[0]
    for embedding in (None, vector):
        before, after = (each.intents.probabilities("thanks", embedding) for each in (trained, model))
        assert before.keys() == after.keys()
        assert max(abs(before[name] - after[name]) for name in before) < 0.01
        nearest = [each.intents.nearest_alarm(embedding) for each in (trained, model)]
        assert nearest[0] == nearest[1]
    assert isinstance(model.intents, IntentModel)
    assert model.intents.nearest is not None
    assert model.intents.nearest.intents


def test_unserved_language_is_answered_in_it() -> None:
    """With the names of the languages that are served."""
    assert LANGUAGES.unserved("de", ["en", "fr"]).startswith("Leider")
    assert "English, français" in LANGUAGES.unserved("de", ["en", "fr"])
    assert "English" in LANGUAGES.unserved("xx", ["en"])
    assert all("{languages}" in reply for reply in LANGUAGES.replies.values())


@pytest.mark.processes
@pytest.mark.parametrize(
    ("text", "is_upset"),
    [
        ("I was debited twice, give me back my money", False),
        ("my parcel was due on Tuesday and still isn't here", False),
        ("I returned it three weeks ago and have no refund yet", False),
        ("you lot are hopeless, truly pathetic", True),
        ("fourth time I write and still no answer, outrageous", True),
        ("I am beyond angry with your support", True),
    ],
)
def test_plain_complaint_is_a_question_and_anger_is_not(shop: Recogniser, text: str, *, is_upset: bool) -> None:
    """In a fleet with few questions of its own."""
    alarm = find_alarm(shop.probabilities(text), SHOP)
    assert (alarm is not None and alarm.reason == "the customer is upset") == is_upset


def test_rule_for_some_customers_is_for_them_only() -> None:
    """In danger as in any other case; nothing is known about a customer by default."""
    rules = [
        EscalationRule(name="fire", urgency="critical", examples=["fire"] * 5, when={"tier": "business"}),
        EscalationRule(name="legal", urgency="high", examples=["sue"] * 5, when={"facts.plan": "Plus"}),
    ]
    fleet = msgspec.structs.replace(SHOP, escalation=EscalationPolicy(rules=rules))
    business = Context(tenant="t", region="r", locale="en", transcript=[], tier="business")
    plus = msgspec.structs.replace(business, tier="", facts=[Fact(name="plan", value="Plus", read_at=1.0)])
    for name, context in (("rule:fire", business), ("rule:legal", plus)):
        assert find_alarm({name: 0.9}, fleet) is None
        alarm = find_alarm({name: 0.9}, fleet, context=context)
        assert alarm is not None
        assert alarm.reason == name.replace(":", " ")
    assert find_alarm({"rule:fire": 0.9}, fleet, context=plus) is None
