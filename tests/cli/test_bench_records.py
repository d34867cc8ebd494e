"""Records of a load run: refusals are no errors, and no conversation waits for a refused turn."""

from __future__ import annotations

import msgspec
from trunkline_cli.bench.load_report import LoadResult, load_report
from trunkline_cli.bench.records import ConversationRecord, TurnRecord
from trunkline_protocols.frames import AcceptedFrame, ErrorFrame, MessageFrame, ServerFrame, StartedFrame

REFUSED = ErrorFrame(code="unavailable", message="", retryable=True, id="m2", retry_after_s=2.5)


def answer(id_: str, seq: int) -> MessageFrame:
    return MessageFrame(
        turn="t", seq=seq, text="", specialty="billing", agent="a", citations=[], in_reply_to=id_, title="Agent"
    )


def test_refused_turns_are_counted_apart_from_errors() -> None:
    """The turns before and after one keep their order."""
    record = ConversationRecord()
    record.record_frame(StartedFrame(conversation="c1", resume_token="", seq=1), 0.0)
    replies: list[list[ServerFrame]] = [
        [AcceptedFrame(id="m1", seq=2), answer("m1", 3)],
        [REFUSED],
        [AcceptedFrame(id="m3", seq=4), answer("m3", 5)],
    ]
    for number, frames in enumerate(replies, start=1):
        record.record_sent(TurnRecord(id=f"m{number}", sent_at=1.0))
        for frame in frames:
            record.record_frame(frame, 1.5)
        assert not record.is_waiting
    record.record_frame(ErrorFrame(code="unavailable", message="resume"), 2.0)
    report = msgspec.json.decode(
        load_report(
            LoadResult(
                conversations=1,
                rate=1,
                duration_s=1,
                records=[record],
                skipped=0,
                cpu_s={},
                client_cpu_s=0,
                rss_mib={},
            )
        )
    )
    counted = {key: report[key] for key in ("turns", "accepted", "answered", "lost", "refused", "errors", "misordered")}
    assert counted == {
        "turns": 3,
        "accepted": 2,
        "answered": 2,
        "lost": 0,
        "refused": 1,
        "errors": 1,
        "misordered": 0,
    }
    assert report["retry_after_s"]["p50"] == 2.5
