"""Builders and parsers of all NATS subjects; no other module splits or joins one.

inbox.<region>.<partition>.<conversation>           stream INBOX: messages of customers
desk.<region>.<partition>.<conversation>            stream INBOX: commands of people at the desk
view.<region>.<partition>.<conversation>            stream VIEWS: operators who read a conversation
hold.<region>.<hold>                                stream HOLDS: legal holds and their releases
violation.<region>.<border>                         stream VIOLATIONS: refused passages between regions
head.<region>                                       stream HEADS: signed heads of the tree of records
conv.<region>.<partition>.<conversation>.<kind>     stream CONVERSATIONS: the log of commits
work.<specialty>.<lane>                             stream WORK: turns for agents
work.<specialty>.<lane>.<colour>                    stream WORK: turns for the agents of a release
notice.<region>.<audience>                          stream NOTICES
receipt.<region>.<notice>.<instance>                stream NOTICES: acknowledgements by processes
dead.<stream>.<consumer>                            stream DEAD_LETTERS
out.<ingress>.<conversation>                        core: deltas and commits for an open socket
attach.<region>.<partition>.<conversation>          core: an ingress holds the conversation's socket
result.<instance>                                   core: results, claims and heartbeats for a conversation process
advice.<instance>                                   core: replies to a consultation
consult.<specialty>.cancelled                       core: cancellation of a consultation
archive.<region>.read, .prove, .list                core, request and reply
rag.<region>.search | analyse | article | import | backups    core, request and reply
llm.<region>.complete                               core, request and reply
llm.<region>.cancel                                 core: cancellation of completions
supervisor.<region>.<instance>.status               core, request and reply
customer.<region>.read                              core, request and reply
$KV.PRESENCE.<service>.<instance>                   KV PRESENCE: heartbeats
$KV.CUSTOMERS.<tenant>.<customer>                   KV CUSTOMERS: the known data about a customer, by a hash of the id
$KV.CUSTOMER_KEYS.<tenant>.<customer>               KV CUSTOMER_KEYS: the key of a customer's texts, by the same hash
erasure.<region>.<customer>.<fingerprint>           stream ERASURES: destroyed keys, by customer and key
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

from trunkline_protocols.ids import PARTITIONS, ConversationId, InvalidIdError, partition_of, slot_of, token
from trunkline_protocols.rules.residency import Border

Lane = Literal["urgent", "high", "normal"]
CommitKind = Literal["turn", "handoff", "consultation", "escalation", "closed"]
Audience = Literal["agents", "customers", "all"]
Colour = Literal["blue", "green"]
"""Name of a release that is in use beside another one."""
QueueColour = Literal["", "blue", "green"]
"""Colour of a work queue; the queue without one is served by the agents of the served release."""

PRESENCES: Final = "$KV.PRESENCE.>"
"""Subjects of all presences."""
CUSTOMERS: Final = "$KV.CUSTOMERS.>"
"""Subjects of all customers."""
ERASURES: Final = "erasure.*.*.*"
"""Subjects of all erasures."""
CUSTOMER_KEYS: Final = "$KV.CUSTOMER_KEYS.>"
"""Subjects of all keys of customers."""
LOGS: Final = "conv.>"
"""Subjects of the logs of all regions."""

_REGIONAL: Final = frozenset({"inbox", "desk", "view", "hold", "conv", "notice", "receipt", "erasure", "violation"})
"""First tokens of the audited subjects whose second one is a region."""

LANES: Final[tuple[Lane, ...]] = get_args(Lane)
COMMIT_KINDS: Final[tuple[CommitKind, ...]] = get_args(CommitKind)
COLOURS: Final[tuple[Colour, ...]] = get_args(Colour)


class ConversationSubject(NamedTuple):
    """A parsed subject of one conversation; `kind` only in the log."""

    region: str
    partition: int
    conversation: ConversationId
    kind: CommitKind | None = None


class WorkSubject(NamedTuple):
    """A parsed subject of the work queue."""

    specialty: str
    lane: Lane
    colour: QueueColour = ""


def _suffix(region: str, conversation: ConversationId) -> str:
    return f"{token(region, 'region')}.{partition_of(conversation)}.{token(conversation, 'conversation')}"


def inbox(region: str, conversation: ConversationId) -> str:
    """Return the subject of a customer's message."""
    return f"inbox.{_suffix(region, conversation)}"


def desk(region: str, conversation: ConversationId) -> str:
    """Return the subject of a desk command."""
    return f"desk.{_suffix(region, conversation)}"


def view(region: str, conversation: ConversationId) -> str:
    """Return the subject of an operator's view of a conversation."""
    return f"view.{_suffix(region, conversation)}"


def hold(region: str, hold: str) -> str:
    """Return the subject of a legal hold and of its release."""
    return f"hold.{token(region, 'region')}.{token(hold, 'hold')}"


def hold_any(region: str) -> str:
    """Return the filter over all legal holds of a region."""
    return f"hold.{token(region, 'region')}.*"


def violation(region: str, border: Border) -> str:
    """Return the subject of a refused passage, by the region of the process that refused it."""
    return f"violation.{token(region, 'region')}.{token(border, 'border')}"


def violation_any(region: str) -> str:
    """Return the filter over all refused passages of a region."""
    return f"violation.{token(region, 'region')}.*"


def region_of(subject: str) -> str | None:
    """Return the region of a subject of an audited stream; None for a dead letter, whose subject has none.

    Raises `InvalidIdError` for anything else.
    """
    match subject.split("."):
        case ["dead", _, _]:
            return None
        case [channel, region, *rest] if channel in _REGIONAL and rest:
            return token(region, "region")
        case _:
            raise InvalidIdError("subject", subject)


def head(region: str) -> str:
    """Return the subject of the signed heads of a region's records."""
    return f"head.{token(region, 'region')}"


def snapshot(conversation: ConversationId) -> str:
    """Return the KV subject of a conversation's snapshot."""
    return f"$KV.SNAPSHOTS.{token(conversation, 'conversation')}"


def inbox_slot(region: str, slot: int) -> list[str]:
    """Return the filters of a slot's consumer: customers and desk, all partitions of the slot."""
    return [
        f"{source}.{token(region, 'region')}.{partition}.>"
        for source in ("inbox", "desk")
        for partition in range(PARTITIONS)
        if slot_of(partition) == slot
    ]


def log(region: str, conversation: ConversationId, kind: CommitKind) -> str:
    """Return the subject of a commit."""
    if kind not in COMMIT_KINDS:
        raise InvalidIdError("kind", kind)
    return f"conv.{_suffix(region, conversation)}.{kind}"


def log_any(region: str) -> str:
    """Return the filter over the logs of all conversations of a region."""
    return f"conv.{token(region, 'region')}.>"


def inbox_any(region: str) -> str:
    """Return the filter over all messages of customers of a region."""
    return f"inbox.{token(region, 'region')}.>"


def log_fence(region: str, conversation: ConversationId) -> str:
    """Return the filter over all commit kinds of a conversation, for the fence and for reading its log.

    Every append must use this filter: the server does not check that a fence covers the subject, and mixed filters
    defeat it.
    """
    return f"conv.{_suffix(region, conversation)}.*"


def attach(region: str, conversation: ConversationId) -> str:
    """Return the subject on which an ingress announces that it holds a conversation's socket."""
    return f"attach.{_suffix(region, conversation)}"


def attach_any(region: str) -> str:
    """Return the filter over all socket announcements of a region."""
    return f"attach.{token(region, 'region')}.*.*"


def parse_conversation(subject: str) -> ConversationSubject:
    """Parse an `inbox`, `desk`, `view`, `conv` or `attach` subject; raise `InvalidIdError` for anything else."""
    match subject.split("."):
        case ["inbox" | "desk" | "view" | "attach", region, partition, conversation]:
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
    """Return the subject of work for a specialty and lane, for the agents of the release in force."""
    if lane not in LANES:
        raise InvalidIdError("lane", lane)
    return f"work.{token(specialty, 'specialty')}.{lane}"


def work_of_release(specialty: str, lane: Lane, colour: Colour) -> str:
    """Return the subject of work for a specialty and lane, for the agents of one release."""
    if colour not in COLOURS:
        raise InvalidIdError("colour", colour)
    return f"{work(specialty, lane)}.{colour}"


def work_any(specialty: str) -> str:
    """Return the filter over all lanes and colours of a specialty."""
    return f"work.{token(specialty, 'specialty')}.>"


def parse_work(subject: str) -> WorkSubject:
    """Parse a subject of the work queue; raise `InvalidIdError` for anything else."""
    match subject.split("."):
        case ["work", specialty, lane] if lane in LANES:
            return WorkSubject(token(specialty, "specialty"), lane)
        case ["work", specialty, lane, colour] if lane in LANES and colour in COLOURS:
            return WorkSubject(token(specialty, "specialty"), lane, colour)
        case _:
            raise InvalidIdError("subject", subject)


def out(ingress: str, conversation: ConversationId) -> str:
    """Return the subject of deltas and commits for the ingress that holds the socket."""
    return f"out.{token(ingress, 'ingress')}.{token(conversation, 'conversation')}"


def out_of(ingress: str) -> str:
    """Return the filter over all deltas and commits for one ingress."""
    return f"out.{token(ingress, 'ingress')}.*"


def result(instance: str) -> str:
    """Return the subject of results for a conversation process."""
    return f"result.{token(instance, 'instance')}"


def advice(instance: str) -> str:
    """Return the subject of consultation replies for a process."""
    return f"advice.{token(instance, 'instance')}"


def consult_cancelled(specialty: str) -> str:
    """Return the subject of cancelled consultations of a specialty."""
    return f"consult.{token(specialty, 'specialty')}.cancelled"


def notice(region: str, audience: Audience) -> str:
    """Return the subject of a notice."""
    return f"notice.{token(region, 'region')}.{token(audience, 'audience')}"


def notices(region: str) -> str:
    """Return the filter over all notices of a region."""
    return f"notice.{token(region, 'region')}.*"


def receipt(region: str, notice: str, instance: str) -> str:
    """Return the subject of a process' receipt for a notice."""
    return f"receipt.{token(region, 'region')}.{token(notice, 'notice')}.{token(instance, 'instance')}"


def receipts(region: str, notice: str) -> str:
    """Return the filter over all receipts of a notice."""
    return f"receipt.{token(region, 'region')}.{token(notice, 'notice')}.*"


def dead_letter(stream: str, consumer: str) -> str:
    """Return the subject of dead letters of a consumer."""
    return f"dead.{token(stream, 'stream')}.{token(consumer, 'consumer')}"


def read_archive(region: str) -> str:
    """Return the subject of requests for the records of an archived conversation."""
    return f"archive.{token(region, 'region')}.read"


def prove_records(region: str) -> str:
    """Return the subject of requests for the proofs of a conversation's records."""
    return f"archive.{token(region, 'region')}.prove"


def list_conversations(region: str) -> str:
    """Return the subject of requests for the conversations of a customer."""
    return f"archive.{token(region, 'region')}.list"


def search(region: str) -> str:
    """Return the subject of search requests."""
    return f"rag.{token(region, 'region')}.search"


def analyse(region: str) -> str:
    """Return the subject of requests for the analysis of a message."""
    return f"rag.{token(region, 'region')}.analyse"


def article(region: str) -> str:
    """Return the subject of requests for a whole article."""
    return f"rag.{token(region, 'region')}.article"


def import_articles(region: str) -> str:
    """Return the subject of imports."""
    return f"rag.{token(region, 'region')}.import"


def backups(region: str) -> str:
    """Return the subject of backup requests."""
    return f"rag.{token(region, 'region')}.backups"


def complete(region: str) -> str:
    """Return the subject of completion requests."""
    return f"llm.{token(region, 'region')}.complete"


def cancel_completion(region: str) -> str:
    """Return the subject of cancelled completions, received by every gateway."""
    return f"llm.{token(region, 'region')}.cancel"


def presence(service: str, instance: str) -> str:
    """Return the KV subject of a process' presence; a service may write those below its own name only."""
    return f"$KV.PRESENCE.{token(service, 'service')}.{token(instance, 'instance')}"


def status(region: str, instance: str) -> str:
    """Return the subject of requests for the status of a node, by the instance name of its supervisor."""
    return f"supervisor.{token(region, 'region')}.{token(instance, 'instance')}.status"


def customer(tenant: str, customer: str) -> str:
    """Return the KV subject of a customer, by the hash of `customers.subject_of`."""
    return f"$KV.CUSTOMERS.{token(tenant, 'tenant')}.{token(customer, 'customer')}"


def tenant_of_customer(subject: str) -> tuple[str, str]:
    """Return tenant and hash of a customer's KV subject; raise `InvalidIdError` for anything else."""
    match subject.split("."):
        case ["$KV", "CUSTOMERS" | "CUSTOMER_KEYS", tenant, hashed]:
            return token(tenant, "tenant"), token(hashed, "customer")
        case _:
            raise InvalidIdError("subject", subject)


def customer_key(tenant: str, customer: str) -> str:
    """Return the KV subject of the key of a customer, by the hash of `customers.subject_of`."""
    return f"$KV.CUSTOMER_KEYS.{token(tenant, 'tenant')}.{token(customer, 'customer')}"


def customer_key_any(customer: str) -> str:
    """Return the filter over the key of a customer, whose tenant is part of the hash."""
    return f"$KV.CUSTOMER_KEYS.*.{token(customer, 'customer')}"


def erasure(region: str, customer: str, fingerprint: str) -> str:
    """Return the subject of the erasure of a key."""
    return f"erasure.{token(region, 'region')}.{token(customer, 'customer')}.{token(fingerprint, 'fingerprint')}"


def erasure_any(customer: str, fingerprint: str) -> str:
    """Return the filter over the erasure of a key in any region."""
    return f"erasure.*.{token(customer, 'customer')}.{token(fingerprint, 'fingerprint')}"


def read_customer(region: str) -> str:
    """Return the subject of requests to read the facts about a customer."""
    return f"customer.{token(region, 'region')}.read"
