"""Every decoder with the errors that it may raise; anything else that it raises is a defect."""

from __future__ import annotations

import gzip
import json
import struct
import tempfile
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import WSMessage, WSMsgType
from hypothesis import strategies as st
from trunkline_agents.core.facts import UnreadableAnswerError, parse_facts
from trunkline_agents.core.routing.artefact import UnreadableArtefactError, decode as decode_artefact
from trunkline_agents.core.tools import ArgumentsError, decode_arguments
from trunkline_audit.adapters.policy_file import load_policy
from trunkline_audit.core.records import AuditedMessage, row_of
from trunkline_audit.core.retention.manifest import compress, read_manifest, unpack
from trunkline_chassis.customer_keys import DataKey
from trunkline_chassis.fleet_folder import FleetError, load_fleet
from trunkline_chassis.toml_file import TomlFileError
from trunkline_chassis.tracing.otlp import export_reply
from trunkline_chassis.tracing.trace_context import format_traceparent, parse_traceparent
from trunkline_cli.bench.load.core.histogram import Histogram, HistogramError
from trunkline_cli.bench.load.core.profile import ProfileError, parse_profile
from trunkline_cli.bench.load.core.replay import ReplayError, read_dialogues
from trunkline_cli.bench.load.core.results import ResultError, decode_file, encode_file
from trunkline_cli.fleet.core.check import check_folder
from trunkline_cli.fleet.core.findings import render
from trunkline_cli.fleet.core.folder import FleetFolder, FolderFile
from trunkline_ingress.core.resume_tokens import verify
from trunkline_ingress.handlers.frame_errors import CloseSocketError, FrameError
from trunkline_ingress.handlers.frame_parser import parse_frame
from trunkline_llm_gateway.adapters.anthropic import Anthropic
from trunkline_llm_gateway.adapters.openai import OpenAI
from trunkline_llm_gateway.core.config import ConfigError, ProviderConfig, parse_config
from trunkline_llm_gateway.core.server_sent_events import EventReader, EventTooLongError
from trunkline_llm_gateway.ports import ProviderError
from trunkline_protocols import codec, subjects
from trunkline_protocols.context import Fact
from trunkline_protocols.decoding import read_names
from trunkline_protocols.fleet import FactField, Reader
from trunkline_protocols.ids import ConversationId, InvalidIdError
from trunkline_protocols.inbox import FeedbackGiven
from trunkline_protocols.knowledge import ArticleFile
from trunkline_protocols.texts import decrypt_texts
from trunkline_protocols.tool_steps import ToolCall
from trunkline_rag.adapters.milvus.passage_file import PassageFile
from trunkline_rag.core.articles.formats import SUFFIXES, parse
from trunkline_rag.core.backups import DamagedBackupError, decompress_blob

from tests.fuzz.inputs import payloads, texts, toml

_CONVERSATION: Final = ConversationId("c1")


@dataclass(frozen=True)
class Target:
    """A decoder: inputs for it, and a check that raises if the decoder fails in a way that it must not."""

    name: str
    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], None]


def _check_codec(decoder: codec.Decoder[Any]) -> Callable[[bytes], None]:
    def check(payload: bytes) -> None:
        try:
            value = decoder.decode(payload)
        except codec.DecodeError:
            return
        assert decoder.decode(codec.encode(value)) == value

    return check


def _check_frame(text: str) -> None:
    try:
        parse_frame(WSMessage(WSMsgType.TEXT, text, None))
    except FrameError as error:
        codec.encode(error.frame)
    except CloseSocketError as error:
        codec.encode(error.frame)


def _check_resume_token(text: str) -> None:
    assert verify(text, b"secret" * 8, now=0.0) is None


def _check_traceparent(text: str) -> None:
    for header in (text, f"00-{text[:32]:0>32}-{text[-16:]:0>16}-01"):
        parsed = parse_traceparent(header)
        assert parsed is None or parse_traceparent(format_traceparent(parsed)) == parsed


def _check_export_reply(payload: bytes) -> None:
    for body in (payload, b'{"partialSuccess":{"rejectedSpans":%s}}' % payload):
        try:
            assert export_reply.decode(body).rejected >= 0
        except codec.DecodeError:
            continue


def _check_audit(payload: bytes) -> None:
    row = row_of(
        AuditedMessage("INBOX", 1, datetime(2026, 1, 1, tzinfo=UTC), "inbox.local.1.c1", payload), datetime.now(UTC)
    )
    assert row.raw == payload
    assert row.payload is None or "\x00" not in row.payload


def _check_artefact(payload: bytes) -> None:
    for damaged in (payload, zlib.compress(payload), zlib.compress(msgspec.msgpack.encode(payload))):
        try:
            decode_artefact(damaged)
        except UnreadableArtefactError:
            continue


def _check_backup(payload: bytes) -> None:
    for damaged in (payload, gzip.compress(payload)[:-4] + b"\x00\x00\x00\x00", gzip.compress(payload)[:30]):
        try:
            decompress_blob("name", damaged)
        except DamagedBackupError:
            continue


def _check_archive(payload: bytes) -> None:
    for damaged in (payload, compress(payload), compress(payload)[:-2]):
        for decode in (unpack, read_manifest):
            try:
                decode(damaged)
            except ValueError:
                continue


def _check_policy(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "retention.toml"
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        try:
            load_policy(file)
        except TomlFileError:
            return


def _check_names(text: str) -> None:
    try:
        assert all(isinstance(name, str) for name in read_names(text))
    except codec.DecodeError:
        return


def _check_arguments(text: str) -> None:
    try:
        decode_arguments(ToolCall(id="c1", name="find-order", arguments=text))
    except ArgumentsError:
        return


def _check_subject(text: str) -> None:
    for parse_subject in (subjects.parse_conversation, subjects.parse_work):
        try:
            parse_subject(text)
        except InvalidIdError:
            continue


def _check_article(suffix: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        data = text.encode("utf-8", "surrogateescape")[:4_000] if suffix == ".pdf" else b""
        for item in parse(ArticleFile(name=f"a{suffix}", content=text[:4_000], data=data)):
            codec.encode(item)

    return check


def _check_parser(dialect: type[Anthropic | OpenAI]) -> Callable[[bytes], None]:
    config = ProviderConfig(name="m", kind="openai", base_url="http://localhost", models=["small"])

    def check(payload: bytes) -> None:
        for is_whole in (False, True):
            parser = dialect(config).parser()
            try:
                parser.feed_whole(payload) if is_whole else parser.feed(payload)
            except ProviderError:
                continue

    return check


def _check_events(payload: bytes) -> None:
    reader = EventReader(max_bytes=1_000)
    try:
        for start in range(0, min(len(payload), 4_000), 7):
            reader.feed(payload[start : start + 7])
        reader.end()
    except EventTooLongError:
        return


def _check_gateway_config(text: str) -> None:
    try:
        parse_config(text, "llm.toml")
    except ConfigError:
        return


def _check_fleet_folder(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "fleet.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
        try:
            load_fleet(Path(folder))
        except FleetError:
            return


def _check_fleet_check(text: str) -> None:
    """The check of a folder raises nothing: each defect is a finding."""
    text = text.encode("utf-8", "replace").decode()
    names = (
        "fleet.toml",
        "agents/a/a.toml",
        "tools/t.toml",
        "context/c.toml",
        "knowledge/k/k.md",
        "knowledge/k/k.jsonl",
    )
    for finding in check_folder(FleetFolder(tuple(FolderFile(name, text) for name in names))):
        assert render(finding, "fleet").isprintable()


def _check_passage_file(payload: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for body in (payload, msgspec.msgpack.encode(payload)):
            block = struct.pack("<II", len(body), zlib.crc32(body)) + body
            (Path(folder) / "passages.kept").write_bytes(block + payload)
            PassageFile(Path(folder), "passages").read({})


def _check_reader_answer(text: str) -> None:
    """Whatever an answer holds, its facts can be stored and read again."""
    fields = {kind: FactField(type=kind) for kind in ("text", "number", "flag")}
    table = {"rows": FactField(type="table", key="a", text="{a} {b}")}
    reader = Reader(name="crm", url="https://c.example/{c}", bind={"c": "customer.sub"}, fields=fields | table)
    value = json.dumps(text)
    for answer in (text, f'{{"text": {value}, "number": {value}, "rows": [{{"a": {value}, "b": 1}}]}}'):
        try:
            found = parse_facts(reader, answer, now=0.0)
        except UnreadableAnswerError:
            continue
        assert codec.decode(codec.encode(found), list[Fact]) == found


def _check_encrypted_text(text: str) -> None:
    """No text that was not encrypted for its place is shown."""
    key = DataKey("5f0c", b"k" * 32)
    for value in (text, f"enc1:{text}", "enc1:" + b64encode(text.encode("utf-8", "replace")).decode()):
        message = FeedbackGiven(key=key.id, conversation=_CONVERSATION, previous=0, rating=1, received_at=0, text=value)
        try:
            found = decrypt_texts(message, key)
        except codec.DecodeError:
            continue
        assert found.text == ""


def _check_histogram(text: str) -> None:
    try:
        found = Histogram.decode(text)
    except HistogramError:
        return
    assert Histogram.decode(found.encode(), found.max_ms) == found


def _check_load_result(payload: bytes) -> None:
    try:
        found = decode_file(payload)
    except ResultError:
        return
    assert decode_file(encode_file(found)) == found


def _check_replay(payload: bytes) -> None:
    try:
        dialogues = read_dialogues(payload.splitlines())
    except ReplayError:
        return
    assert all(text.strip() for dialogue in dialogues for text in dialogue)


def _check_profile(text: str) -> None:
    for profile in (text, f"hold:{text}/5s", f"ramp:1-{text}/3m"):
        try:
            phases = parse_profile(profile)
        except ProfileError:
            continue
        assert parse_profile(",".join(phase.name for phase in phases))


def _codec_targets() -> Iterator[Target]:
    for name, decoder in vars(codec).items():
        if isinstance(decoder, codec.Decoder):
            yield Target(f"codec.{name}", payloads, _check_codec(decoder))


TARGETS: Final = (
    *_codec_targets(),
    Target("frame", texts, _check_frame),
    Target("resume token", texts, _check_resume_token),
    Target("traceparent", texts, _check_traceparent),
    Target("reply of a collector", payloads, _check_export_reply),
    Target("audit row", payloads, _check_audit),
    Target("routing artefact", payloads, _check_artefact),
    Target("passage file", payloads, _check_passage_file),
    Target("backup blob", payloads, _check_backup),
    Target("archive", payloads, _check_archive),
    Target("retention policy", toml, _check_policy),
    Target("names of an object", texts, _check_names),
    Target("tool arguments", texts, _check_arguments),
    Target("reader answer", texts, _check_reader_answer),
    Target("subject", texts, _check_subject),
    Target("encrypted text", texts, _check_encrypted_text),
    Target("OpenAI answer", payloads, _check_parser(OpenAI)),
    Target("Anthropic answer", payloads, _check_parser(Anthropic)),
    Target("server-sent events", payloads, _check_events),
    Target("gateway configuration", toml, _check_gateway_config),
    Target("fleet folder", toml, _check_fleet_folder),
    Target("fleet check", toml, _check_fleet_check),
    Target("histogram of a load", texts, _check_histogram),
    Target("result of a load", payloads, _check_load_result),
    Target("recorded conversations", payloads, _check_replay),
    Target("profile of a load", texts, _check_profile),
    *(Target(f"article{suffix}", texts, _check_article(suffix)) for suffix in SUFFIXES),
)
