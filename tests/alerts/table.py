"""The table of faults: which alerts each of them causes, and why others may fire beside them."""

from __future__ import annotations

from typing import Final

from tests.alerts import messages, models, processes
from tests.alerts.stage import Scenario

_SERVERS: Final = "the supervisor replaces the frozen servers"
_RESTARTED: Final = "its process is started again each time"
_SLOW: Final = "turns of this fault waited for longer than 500 ms"

SCENARIOS: Final = (
    Scenario(
        "slow turns",
        "single",
        messages.slow_turns,
        ("TrunklineTurnOverheadBurnFast",),
        held_back=("TrunklineTurnOverheadBurnSlow",),
    ),
    Scenario("dead letter", "single", messages.undecodable_message, ("TrunklineDeadLetters",)),
    Scenario("unreadable value", "single", messages.undecodable_value, ("TrunklineUndecodable",)),
    Scenario("refused row", "single", messages.refused_row, ("TrunklineAuditSkipped",)),
    Scenario("customer without a person", "single", messages.waiting_customers, ("TrunklineEscalationsBreached",)),
    Scenario("odd answers", "single", models.odd_answers, ("TrunklineModelAnswersOdd",)),
    Scenario("cut answers", "single", models.cut_answers, ("TrunklineModelAnswersCut",)),
    Scenario("spent budget", "single", models.spent_budget, ("TrunklineBudgetNearlySpent",)),
    Scenario("failing provider", "single", models.failing_provider, ("TrunklineBreakerOpen",), within_s=120),
    Scenario(
        "deep queue",
        "single",
        messages.deep_queue,
        ("TrunklineQueueDeep",),
        companions={"TrunklineTurnOverheadBurnFast": _SLOW, "TrunklineTurnOverheadBurnSlow": _SLOW},
        within_s=120,
    ),
    Scenario("worse fleet", "single", messages.worse_fleet, ("TrunklineRolloutWithdrawn",)),
    Scenario(
        "failing backups",
        "single",
        messages.failing_backups,
        ("TrunklineBackupStale",),
        companions={
            "TrunklineProcessDown": "its process is restarted, which can take longer than the divided two minutes"
        },
        within_s=150,
    ),
    Scenario("PostgreSQL is down", "single", messages.postgres_down, ("TrunklineAuditLag",), within_s=150),
    Scenario("frozen supervisor", "single", processes.frozen_supervisor, ("TrunklineTargetDown",)),
    Scenario("stopped exporter", "single", processes.stopped_exporter, ("TrunklineServerDown",)),
    Scenario("full disk", "single", processes.full_disk, ("TrunklineDiskNearlyFull",)),
    Scenario(
        "no descriptor",
        "single",
        processes.without_descriptors,
        ("TrunklineFileLimitReached",),
        companions={"TrunklineProcessDown": "its page takes no connection"},
    ),
    Scenario("hanging start", "single", processes.hanging_start, ("TrunklineProcessDown",)),
    Scenario(
        "freezing process",
        "single",
        processes.freezing_process,
        ("TrunklineProcessesReplaced", "TrunklineProcessRestarts"),
        companions={
            "TrunklineProcessDown": "it answers no scrape while it is frozen",
            "TrunklinePoolFailed": "on a fast machine it freezes often enough for its pool to be given up",
        },
        within_s=180,
    ),
    # The last ones of their suite: a pool that was given up is restarted with the suite. If all providers fail,
    # customers receive the articles' own words, which is no failed turn; without a gateway they receive an apology.
    Scenario(
        "no gateway",
        "single",
        processes.no_gateway,
        ("TrunklineTurnFailuresBurnFast", "TrunklinePoolFailed"),
        held_back=("TrunklineTurnFailuresBurnSlow",),
        companions={
            "TrunklineProcessDown": "the processes of the pool are down",
            "TrunklineProcessRestarts": _RESTARTED,
            "TrunklineTurnOverheadBurnFast": _SLOW,
            "TrunklineTurnOverheadBurnSlow": _SLOW,
        },
        within_s=240,
    ),
    Scenario(
        "crash loop",
        "single",
        processes.crash_loop,
        ("TrunklinePoolFailed",),
        companions={
            "TrunklineProcessDown": "the process of the pool is down",
            "TrunklineProcessRestarts": _RESTARTED,
            "TrunklineAuditLag": "the archive is the pool's work",
        },
        within_s=120,
    ),
    Scenario(
        "lost server",
        "cluster",
        processes.lost_server,
        ("TrunklineStreamReplicaMissing",),
        companions={
            "TrunklineStreamWithoutLeader": "a stream that it led elects another leader, within the undivided minute",
            "TrunklineProcessesReplaced": _SERVERS,
        },
        within_s=120,
    ),
    Scenario(
        "lost majority",
        "cluster",
        processes.lost_majority,
        ("TrunklineStreamWithoutLeader",),
        companions={
            "TrunklineStreamReplicaMissing": "servers that come back copy what they missed",
            "TrunklineProcessesReplaced": _SERVERS,
            "TrunklineProcessDown": "a process that cannot connect again is replaced",
            "TrunklineAuditLag": "the archive cannot read on",
        },
        within_s=120,
    ),
    Scenario(
        "certificates at their end",
        "tls",
        processes.nothing,
        # That of the authority ends in ten days, that of the server in two.
        ("TrunklineCertificateExpiresSoon", "TrunklineCertificateExpires"),
        held_back=("TrunklineCertificateExpires",),
        within_s=120,
    ),
)
UNIT_TESTED: Final = {
    "TrunklineClockOff": "needs a host with another clock; tests/faults/test_clock_faults.py has such processes",
    "TrunklineClockUnsynchronised": "needs a host with chrony and without a time server",
    "TrunklineWalNotArchived": "needs a repository of pgBackRest; tests/deployment/test_pgbackrest.py has one",
    "TrunklinePostgresBackupStale": "needs the same, for two days",
    "TrunklineTurnsRefused": "needs more turns than the suite can answer; bench/overload.py has them",
    "TrunklineUnitFailed": "needs a host with systemd; ./just cluster-test has such hosts",
    "TrunklineAuditHeadsDiverged": "needs a database whose rows were changed",
    "TrunklineResidencyViolated": "needs data of another region",
    "TrunklineResidencyRecordsLost": "needs the same, with a stream that takes no records",
}
"""Alerts that are proven by `promtool test rules` alone (tests/deployment/rules), with the reason."""
