"""Scheduled runs of retention."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Counter, Gauge
from trunkline_chassis.logs import reason_of

from trunkline_audit.application.retention_run import RetentionRun, RunReport
from trunkline_audit.core.retention.policy import RetentionPolicy
from trunkline_audit.ports import ArchiveLockedError

_log: Final = structlog.get_logger(__name__)
_LAST_RUN: Final = Gauge(
    "trunkline_retention_timestamp_seconds", "Unix time of the last run of retention that this process completed"
)
_TRIMMED: Final = Counter("trunkline_retention_trimmed_total", "Records whose bytes were trimmed", ["kind"])
_ARCHIVED: Final = Counter("trunkline_retention_archived_total", "Records written to archives")
_HELD: Final = Gauge("trunkline_retention_held", "Records that a legal hold kept in the last run")
_WAITING: Final = Gauge("trunkline_retention_waiting", "Conversations that waited for a consumer in the last run")
_FAILED: Final = Counter("trunkline_retention_failed_total", "Scheduled runs of retention that failed")
_FIRST_DELAY_S: Final = 600.0
_RETRY_DELAY_S: Final = 900.0


class RetentionSchedule:
    """Runs retention again and again; several processes may: a run that another one has begun is left to that."""

    def __init__(
        self,
        make_run: Callable[[], RetentionRun],
        policy: RetentionPolicy,
        *,
        every_s: float,
        now: Callable[[], float],
        failure: str = "",
    ) -> None:
        """`failure` is the reason for which the policy cannot be used; `now` returns Unix seconds."""
        self._make_run = make_run
        self._every_s = every_s
        self._now = now
        self.is_scheduled = bool(every_s) and not failure and not policy.keeps_everything
        """Whether there is something to run."""
        self.state = failure or _state_of(policy, every_s)
        """For the status, such as `everything is kept`, or the reason of the last failure."""

    async def run(self) -> None:
        """Run retention until cancelled."""
        delay_s = min(_FIRST_DELAY_S, self._every_s)
        while True:
            await asyncio.sleep(delay_s)
            delay_s = await self._run_once()

    async def _run_once(self) -> float:
        """Return the seconds until the next run."""
        try:
            report = await self._make_run().run()
        except ArchiveLockedError:
            _log.info("retention.locked")
            return self._every_s
        except Exception as error:  # the schedule outlives any failure of database, bus or object store; it retries
            self.state = f"failed: {reason_of(error)}"
            _FAILED.inc()
            _log.error("retention.failed", error=reason_of(error))
            return min(self._every_s, _RETRY_DELAY_S)
        self.state = "completed"
        publish_report(report, self._now())
        return self._every_s


def _state_of(policy: RetentionPolicy, every_s: float) -> str:
    if policy.keeps_everything:
        return "everything is kept"
    return f"every {every_s / 3_600:g} h" if every_s else "by command only"


def publish_report(report: RunReport, at: float) -> None:
    """Set the metrics of a run and log it."""
    _LAST_RUN.set(at)
    _ARCHIVED.inc(report.archived)
    _HELD.set(report.held)
    _WAITING.set(report.waiting)
    for kind, records in report.trimmed_by_kind.items():
        _TRIMMED.labels(kind).inc(records)
    _log.info(
        "retention.done",
        archive=report.archive,
        archived=report.archived,
        trimmed=report.trimmed,
        held=report.held,
        waiting=report.waiting,
        markers=report.markers,
    )
