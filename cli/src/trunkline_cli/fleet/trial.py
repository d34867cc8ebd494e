"""`trunkline fleet try`: what a fleet folder would do with a question, without a suite.

The routing is trained and the articles are indexed in this process, as the services do it; only a language model is not
asked: the answer is that of the built-in provider.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from trunkline_agents.adapters.package_data import built_in_examples, language_texts
from trunkline_agents.core.foreign_emergencies import with_foreign_emergency
from trunkline_agents.core.intents.recognition import find_alarm, recognise
from trunkline_agents.core.question_parts import question_parts
from trunkline_agents.core.routing.router import Embedding, Router
from trunkline_agents.core.routing.training import TrainingError, train
from trunkline_chassis.fleet_folder import FleetError, load_fleet
from trunkline_conversation.core.escalations import EscalationAssessment, assess
from trunkline_conversation.core.state import Conversation, context_of
from trunkline_embedding import Embedder, EmbedderChoice, EmbeddingError, message_embedder, open_embedder
from trunkline_llm_gateway.core.extractive import compose, score_needed
from trunkline_protocols.customers import CustomerKnown
from trunkline_protocols.fleet import Agent
from trunkline_protocols.ids import ConversationId, Instance
from trunkline_protocols.inbox import TurnReceived
from trunkline_protocols.intents import OFF_TOPIC, PERHAPS_OFF_TOPIC, SMALL_TALK
from trunkline_protocols.knowledge import ImportProblem, Passage
from trunkline_rag.adapters.knowledge_folder import read_folder
from trunkline_rag.adapters.parser.process import ParserProcess
from trunkline_rag.application.passage_embedding import embed_passages
from trunkline_rag.core.articles import ImportReport, with_ids
from trunkline_rag.core.articles.limits import ParseLimits
from trunkline_rag.core.fleet_words import fleet_words
from trunkline_rag.core.index import Index
from trunkline_rag.core.language import foreign_language
from trunkline_rag.core.passages import split_document
from trunkline_rag.core.question import read_question
from trunkline_rag.core.vector_index import VectorIndex
from trunkline_rag.ports import ParserUnavailableError

from trunkline_cli.errors import CommandError

_TENANT: Final = "default"
_TRIAL: Final = "trial"
_MAX_PASSAGES: Final = 6
_SHOWN: Final = 3


class Step(msgspec.Struct, frozen=True):
    """A name and its probability or score."""

    name: str
    score: float


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """The decisions for one question, in the order in which they are made."""

    question: str
    corrected: str
    """The question with its typing mistakes corrected; the same if there are none."""
    intents: list[Step]
    """The most probable intents; `question` is an ordinary question."""
    escalation: str = ""
    """Level, urgency and reason of an escalation; empty if the message causes none."""
    say: str = ""
    specialty: str = ""
    agent: str = ""
    passages: list[Passage] = []
    answer: str = ""
    reason: str = ""
    """Reason why there is no answer from the articles."""


class FleetTrial:
    """A fleet folder that is ready for questions."""

    def __init__(self, folder: Path, choice: EmbedderChoice) -> None:
        """Train and index; raise `CommandError` if the folder is no valid fleet or the encoder cannot be opened."""
        try:
            self._fleet = load_fleet(folder)
            self._embedder = open_embedder(choice)
            messages = message_embedder(self._embedder) if self._embedder is not None else None
            model = train(
                self._fleet, "trial", messages.embed if messages is not None else None, built_in=built_in_examples()
            )
        except (FleetError, EmbeddingError, TrainingError) as error:
            raise CommandError(str(error)) from error
        self._messages = messages
        self._router = Router(self._fleet, model)
        self._index = _index(folder / "knowledge", self._embedder)
        vocabulary = self._embedder.vocabulary if self._embedder is not None else frozenset()
        self._speller = self._index.speller(vocabulary, fleet=fleet_words(self._fleet))

    def ask(self, question: str) -> Trial:
        """Return the decisions for the first message of a conversation."""
        corrected = self._speller.correct(question)
        embedding: Embedding | None = self._messages.embed([corrected])[0] if self._messages is not None else None
        choice = self._router.choose(question, embedding)
        probabilities = self._router.intents(question, embedding)
        by_words = embedding is None
        likely = sorted(probabilities, key=lambda name: -probabilities[name])[:_SHOWN]
        steps = [Step(name, round(probabilities[name], 3)) for name in likely]
        # Phrases and words count before the intent: with one of them, a suite asks no agent.
        served = self._fleet.company.served_languages
        language = foreign_language(question, served)
        alarm = self._assess(question) or with_foreign_emergency(
            find_alarm(
                probabilities,
                self._fleet,
                nearest=self._router.nearest_alarm(embedding),
                by_words=by_words,
                routed_to_urgent=choice.agent.urgent,
            ),
            question,
            language,
            texts=language_texts(),
            fleet=self._fleet,
        )
        if alarm is not None:
            return Trial(
                question=question,
                corrected=corrected,
                intents=steps,
                escalation=f"{alarm.level}, {alarm.urgency}: {alarm.reason}",
                say=alarm.say,
            )
        if language:
            return Trial(
                question=question,
                corrected=corrected,
                intents=steps,
                specialty=choice.specialty,
                agent=choice.agent.name,
                answer=language_texts().unserved(language, served),
            )
        intent = recognise(probabilities, by_words=by_words)
        min_score = score_needed(intent)
        passages = [] if intent in SMALL_TALK else self._search(question, choice.agent)
        composed = compose(question, passages, parts=[], min_score=min_score)
        return Trial(
            question=question,
            corrected=corrected,
            intents=steps,
            specialty=choice.specialty,
            agent=choice.agent.name,
            passages=passages,
            answer=composed.text,
            reason="" if composed.parts else _reason(intent, passages, min_score),
        )

    def _assess(self, question: str) -> EscalationAssessment | None:
        """Apply the phrases and words of the fleet's rules."""
        message = TurnReceived(
            conversation=ConversationId(_TRIAL),
            message_id=_TRIAL,
            text=question,
            seq=1,
            previous=0,
            customer="",
            tenant=_TENANT,
            region="",
            channel="",
            locale="",
            ingress=Instance(_TRIAL),
            received_at=0.0,
        )
        state = Conversation(id=ConversationId(_TRIAL), region="")
        context = partial(context_of, state, message, CustomerKnown(), self._fleet)
        return assess(state, message, self._fleet.escalation, context)

    def _search(self, question: str, agent: Agent) -> list[Passage]:
        """Search for the first question of the message that finds anything, as an agent does for each of them."""
        found: list[Passage] = []
        for number, part in enumerate(question_parts(question) or [question]):
            asked = read_question(self._speller.correct(part))
            if self._embedder is not None:
                asked = asked.with_vector(self._embedder.embed([asked.text])[0])
            hits = self._index.search(asked, tenant=_TENANT, topics=agent.knowledge.topics, limit=_MAX_PASSAGES)
            found += [
                Passage(
                    document=hit.row.document,
                    title=hit.row.title,
                    text=hit.row.text,
                    score=round(hit.score, 3),
                    headings=hit.row.headings,
                    sentence_scores=hit.sentence_scores,
                    part=number,
                )
                for hit in hits
            ]
        return sorted(found, key=lambda passage: -passage.score)


def _index(folder: Path, embedder: Embedder | None) -> Index:
    limits = ParseLimits()
    request, problems = read_folder(folder, _TENANT, limits)
    report = ImportReport(problems)
    parser = ParserProcess(limits)
    try:
        accepted = [report.accept(item) for item in parser.parse(with_ids(request.files))]
    except ParserUnavailableError as error:
        raise CommandError(str(error)) from error
    finally:
        parser.close()
    documents = [document for document in accepted if document is not None]
    if not documents:
        raise CommandError(f"{folder}: no article can be read{_first(problems)}")
    split = [row for document in documents for row in split_document(document, _TENANT)]
    rows, vectors = embed_passages(split, embedder)
    index = Index(rows)
    return index.with_vectors(VectorIndex(np.asarray(vectors))) if vectors is not None else index


def _first(problems: Sequence[ImportProblem]) -> str:
    return f": {problems[0].name}: {problems[0].reason}" if problems else ""


def _reason(intent: str, passages: Sequence[Passage], min_score: float) -> str:
    if intent in SMALL_TALK:
        return f"intent {intent}: no article is asked for"
    if intent not in {"", OFF_TOPIC, PERHAPS_OFF_TOPIC}:
        return f"intent {intent}"
    before = f"intent {intent}: " if intent else ""
    if not passages:
        return f"{before}no article comes near"
    best = passages[0]
    return f"{before}the nearest article, {best.document}, has {best.score:.2f}, {min_score:.2f} is needed"


def trial_lines(trial: Trial) -> list[str]:
    """Return a trial as lines for a person."""
    lines = [f"question   {trial.question}"]
    if trial.corrected != trial.question:
        lines.append(f"corrected  {trial.corrected}")
    lines.append("intent     " + ", ".join(f"{step.name} {step.score:.2f}" for step in trial.intents))
    if trial.escalation:
        return [*lines, f"escalated  {trial.escalation}", *([f"says       {trial.say}"] if trial.say else [])]
    lines.append(f"agent      {trial.agent} ({trial.specialty})")
    best: dict[str, float] = {}
    for passage in trial.passages:
        best.setdefault(passage.document, passage.score)
    lines += [f"article    {score:.2f} {document}" for document, score in list(best.items())[:_SHOWN]]
    return [*lines, f"answer     {trial.answer}" if trial.answer else f"no answer  {trial.reason}"]
