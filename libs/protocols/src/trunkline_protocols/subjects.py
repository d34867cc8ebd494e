"""Every NATS subject of Trunkline, built and parsed here and nowhere else.

inbox.<region>.<partition>.<conversation>           stream INBOX: what customers said
desk.<region>.<partition>.<conversation>            stream INBOX: what people at the desk ordered
conv.<region>.<partition>.<conversation>.<kind>     stream CONVERSATIONS: the log of commits
work.<specialty>.<lane>                             stream WORK: turns for agents
notice.<region>.<audience>                          stream NOTICES
receipt.<region>.<notice>.<instance>                stream NOTICES: who has taken a notice into account
dead.<stream>.<consumer>                            stream DEAD_LETTERS
out.<ingress>.<conversation>                        core: deltas and commits for an open socket
attach.<region>.<partition>.<conversation>          core: an ingress took over a conversation's socket
result.<instance>                                   core: results, claims and beats for a conversation process
advice.<instance>                                   core: a specialist's advice for the process that asked
consult.<specialty>.cancelled                       core: nobody waits for this advice any more
rag.<region>.search | article | import | backups  core, request and reply
llm.<region>.complete                               core, request and reply
llm.<region>.cancel                                 core: nobody waits for a completion any more
supervisor.<region>.status                          core, request and reply
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

from trunkline_protocols.ids import PARTITIONS, ConversationId, InvalidIdError, partition_of, slot_of, token

Lane = Literal["urgent", "high", "normal"]
CommitKind = Literal["turn", "handoff", "consultation", "escalation", "closed"]
Audience = Literal["agents", "customers", "all"]

LANES: Final[tuple[Lane, ...]] = get_args(Lane)
COMMIT_KINDS: Final[tuple[CommitKind, ...]] = get_args(CommitKind)


class ConversationSubject(NamedTuple):
    """A parsed subject that belongs to one conversation; `kind` only in the log."""

    region: str
    partition: int
    conversation: ConversationId
    kind: CommitKind | None = None


class WorkSubject(NamedTuple):
    """A parsed subject of the work queue."""

    specialty: str
    lane: Lane


def _place(region: str, conversation: ConversationId) -> str:
    return f"{token(region, 'region')}.{partition_of(conversation)}.{token(conversation, 'conversation')}"


def inbox(region: str, conversation: ConversationId) -> str:
    """Where a customer's message is stored."""
    return f"inbox.{_place(region, conversation)}"


def desk(region: str, conversation: ConversationId) -> str:
    """Where an order of a person at the desk is stored."""
    return f"desk.{_place(region, conversation)}"


def inbox_slot(region: str, slot: int) -> list[str]:
    """Filters of one slot's consumer: customers and desk, all partitions that belong to it."""
    return [
        f"{source}.{token(region, 'region')}.{partition}.>"
        for source in ("inbox", "desk")
        for partition in range(PARTITIONS)
        if slot_of(partition) == slot
    ]


def log(region: str, conversation: ConversationId, kind: CommitKind) -> str:
    """Where a commit is appended."""
    if kind not in COMMIT_KINDS:
        raise InvalidIdError("kind", kind)
    return f"conv.{_place(region, conversation)}.{kind}"


def log_fence(region: str, conversation: ConversationId) -> str:
    """Name the one filter over all kinds of a conversation: for the fence and for reading its log.

    Always this filter. The server does not check that a fence covers the subject, and mixed filters defeat it.
    """
    return f"conv.{_place(region, conversation)}.*"


def attach(region: str, conversation: ConversationId) -> str:
    """Where an ingress says that it holds a conversation's socket now."""
    return f"attach.{_place(region, conversation)}"


def attach_any(region: str) -> str:
    """Filter over all conversations' sockets of a region."""
    return f"attach.{token(region, 'region')}.*.*"


def parse_conversation(subject: str) -> ConversationSubject:
    """Parse an `inbox`, `desk`, `conv` or `attach` subject; raise `InvalidIdError` for anything else."""
    match subject.split("."):
        case ["inbox" | "desk" | "attach", region, partition, conversation]:
            kind = None
        case ["conv", region, partition, conversation, kind_token] if kind_token in COMMIT_KINDS:
            kind = kind_token
        case _:
            raise InvalidIdError("subject", subject)
    owner = ConversationId(token(conversation, "conversation"))
    if partition != str(partition_of(owner)):
        raise InvalidIdError("partition", partition)
    return ConversationSubject(token(region, "region"), int(partition), owner, kind)


def work(specialty: str, lane: Lane) -> str:
    """Where a turn waits for an agent of a specialty."""
    if lane not in LANES:
        raise InvalidIdError("lane", lane)
    return f"work.{token(specialty, 'specialty')}.{lane}"


def work_any(specialty: str) -> str:
    """Filter over all lanes of a specialty."""
    return f"work.{token(specialty, 'specialty')}.*"


def parse_work(subject: str) -> WorkSubject:
    """Parse a subject of the work queue; raise `InvalidIdError` for anything else."""
    match subject.split("."):
        case ["work", specialty, lane] if lane in LANES:
            return WorkSubject(token(specialty, "specialty"), lane)
        case _:
            raise InvalidIdError("subject", subject)


def out(ingress: str, conversation: ConversationId) -> str:
    """Where deltas and commits go for the ingress that holds the socket."""
    return f"out.{token(ingress, 'ingress')}.{token(conversation, 'conversation')}"


def out_of(ingress: str) -> str:
    """Filter over everything for one ingress."""
    return f"out.{token(ingress, 'ingress')}.*"


def result(instance: str) -> str:
    """Where agents answer a conversation process."""
    return f"result.{token(instance, 'instance')}"


def advice(instance: str) -> str:
    """Where a specialist answers the process that consults it."""
    return f"advice.{token(instance, 'instance')}"


def consult_cancelled(specialty: str) -> str:
    """Where a specialty hears that nobody waits for an advice any more."""
    return f"consult.{token(specialty, 'specialty')}.cancelled"


def notice(region: str, audience: Audience) -> str:
    """Where a broadcast is stored."""
    return f"notice.{token(region, 'region')}.{token(audience, 'audience')}"


def notices(region: str) -> str:
    """Filter over all broadcasts of a region."""
    return f"notice.{token(region, 'region')}.*"


def receipt(region: str, notice: str, instance: str) -> str:
    """Where a process says that it has taken a notice into account."""
    return f"receipt.{token(region, 'region')}.{token(notice, 'notice')}.{token(instance, 'instance')}"


def receipts(region: str, notice: str) -> str:
    """Filter over all receipts of one notice."""
    return f"receipt.{token(region, 'region')}.{token(notice, 'notice')}.*"


def dead_letter(stream: str, consumer: str) -> str:
    """Where a message that cannot be handled is kept, by where it came from."""
    return f"dead.{token(stream, 'stream')}.{token(consumer, 'consumer')}"


def search(region: str) -> str:
    """Where passages are asked for."""
    return f"rag.{token(region, 'region')}.search"


def article(region: str) -> str:
    """Where one whole article is asked for."""
    return f"rag.{token(region, 'region')}.article"


def import_articles(region: str) -> str:
    """Where articles are handed in."""
    return f"rag.{token(region, 'region')}.import"


def backups(region: str) -> str:
    """Where backups of the knowledge base are ordered, restored and listed."""
    return f"rag.{token(region, 'region')}.backups"


def complete(region: str) -> str:
    """Where a completion is asked for."""
    return f"llm.{token(region, 'region')}.complete"


def cancel_completion(region: str) -> str:
    """Where every gateway hears that nobody waits for a completion any more."""
    return f"llm.{token(region, 'region')}.cancel"


def status(region: str) -> str:
    """Where the supervisor tells the state of the tree."""
    return f"supervisor.{token(region, 'region')}.status"
