"""Write the dashboards of Grafana: `python deploy/grafana/generate.py [FOLDER]`, part of `./just docs`.

A dashboard is a list of rows, a row a list of panels, a panel a title and its queries. Everything else of the JSON,
such as positions and ids, is derived.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from panels import HOST, Dashboard, Panel, Query, highest, per_second, quantiles, render, share, stat, total

CONVERSATIONS: Final = Dashboard(
    "trunkline-conversations",
    "Trunkline: conversations",
    [
        (
            "Now",
            [
                stat("Open conversations", 'sum(trunkline_conversations_open{job=~"$job"})'),
                stat(
                    "Turns per second",
                    'sum(rate(trunkline_turns_total{job=~"$job", outcome=~"answered|empty|failed"}[5m]))',
                    "cps",
                ),
                stat(
                    "Failed turns, 1 h",
                    'sum(increase(trunkline_turns_total{job=~"$job", outcome="failed"}[1h]))',
                    thresholds=(1, 5),
                ),
                stat(
                    "Processes that do not answer",
                    '(count(up{job=~"$job"} == 0) or vector(0))'
                    ' + (count(trunkline_process_up{job=~"$job"} == 0) or vector(0))',
                    thresholds=(1, 2),
                ),
                stat(
                    "Firing alerts",
                    'count(ALERTS{alertstate="firing", job=~"$job|node"}) or vector(0)',
                    thresholds=(1, 3),
                ),
            ],
        ),
        (
            "Latency",
            [
                Panel(
                    "From the accepted message to the committed answer",
                    quantiles("trunkline_turn_seconds"),
                    "s",
                    description="All specialties, the time of the models included.",
                ),
                Panel(
                    "Overhead: the same without the models",
                    quantiles("trunkline_turn_overhead_seconds"),
                    "s",
                    description="The objective is 99 % below 500 ms.",
                    thresholds=(0.25, 0.5),
                ),
                Panel(
                    "p95 by specialty",
                    [
                        Query(
                            "histogram_quantile(0.95, sum by (le, specialty) "
                            '(rate(trunkline_turn_seconds_bucket{job=~"$job"}[$__rate_interval])))',
                            "{{specialty}}",
                        )
                    ],
                    "s",
                ),
            ],
        ),
        (
            "Admission",
            [
                Panel("Turns in flight", total("trunkline_admission_in_flight", "job")),
                Panel(
                    "Turns that may be in flight",
                    total("trunkline_admission_limit", "job"),
                    description="Infinite while a gateway of an earlier version runs.",
                ),
                Panel(
                    "Turns refused per second",
                    per_second("trunkline_admission_refused_total", "reason"),
                    "cps",
                    description="Beyond capacity; the client sends them again later.",
                ),
            ],
        ),
        (
            "Objectives",
            [
                Panel(
                    "Burn rate of failed turns",
                    [
                        Query(f'job:trunkline_turn_failures:ratio_rate{window}{{job=~"$job"}} / 0.001', window)
                        for window in ("5m", "1h", "6h", "3d")
                    ],
                    description="1 spends the error budget in 30 days.",
                    thresholds=(1, 14.4),
                ),
                Panel(
                    "Burn rate of turns with more than 500 ms of overhead",
                    [
                        Query(
                            f'job:trunkline_turn_overhead_above_500ms:ratio_rate{window}{{job=~"$job"}} / 0.01', window
                        )
                        for window in ("5m", "1h", "6h", "3d")
                    ],
                    description="1 spends the error budget in 30 days.",
                    thresholds=(1, 14.4),
                ),
                Panel("Turns and dispatches by outcome", per_second("trunkline_turns_total", "outcome"), "cps"),
            ],
        ),
        (
            "People",
            [
                Panel(
                    "Escalations whose SLA expired, per hour",
                    [
                        Query(
                            'sum by (urgency) (increase(trunkline_escalation_breaches_total{job=~"$job"}[1h]))',
                            "{{urgency}}",
                        )
                    ],
                ),
                Panel("Conversations in memory", total("trunkline_conversations_in_memory", "job")),
                Panel("Memory of conversations", total("trunkline_conversations_bytes", "job"), "bytes"),
            ],
        ),
    ],
)

AGENTS: Final = Dashboard(
    "trunkline-agents",
    "Trunkline: agents and queues",
    [
        (
            "Agents",
            [
                Panel("Agents by specialty", total("trunkline_agents", "specialty"), stacked=True),
                Panel("Agents by node", total("trunkline_agents", "node"), stacked=True),
                Panel(
                    "Agents by specialty and node",
                    [Query('sum by (specialty, node) (trunkline_agents{job=~"$job"})')],
                    kind="table",
                ),
            ],
        ),
        (
            "Roll-out of a fleet version or a release",
            [
                Panel("Share of new conversations, %", highest("trunkline_rollout_share_percent", "job")),
                Panel(
                    "Evidence against the candidate",
                    highest("trunkline_rollout_evidence", "job"),
                    description="At 50 it is withdrawn.",
                    thresholds=(10, 50),
                ),
                Panel("Finished turns", highest("trunkline_rollout_turns", "version, outcome")),
                Panel(
                    "Turns for agents of the other release", per_second("trunkline_work_fallbacks_total", "job"), "cps"
                ),
            ],
        ),
        (
            "Queues",
            [
                Panel(
                    "Turns that wait for an agent",
                    highest("trunkline_work_queue_depth", "specialty, lane"),
                    description="Every process of a specialty measures the same queue.",
                    thresholds=(20, 50),
                ),
                Panel("Processes by pool", total("trunkline_pool_processes", "pool"), stacked=True),
                Panel("Messages delivered again", per_second("trunkline_redeliveries_total", "consumer"), "cps"),
                Panel("Clocks ahead of the others", highest("trunkline_clock_offset_seconds", "instance"), "s"),
                Panel(
                    "Requests of a clock that differs",
                    per_second("trunkline_clock_differences_total", "instance"),
                    "cps",
                ),
            ],
        ),
        (
            "Work",
            [
                Panel("Consultations", per_second("trunkline_consultations_total", "outcome"), "cps"),
                Panel("Tool calls", per_second("trunkline_tool_calls_total", "tool, outcome"), "cps"),
                Panel(
                    "Readings of customers", per_second("trunkline_customer_readings_total", "reader, outcome"), "cps"
                ),
                Panel("Summaries of handoffs", per_second("trunkline_summaries_total", "by"), "cps"),
            ],
        ),
        (
            "Processes",
            [
                Panel(
                    "Starts of processes, 30 min",
                    [
                        Query(
                            'sum by (instance, process) (changes(process_start_time_seconds{job=~"$job"}[30m])) > 0',
                            "{{process}} {{instance}}",
                        )
                    ],
                ),
                Panel(
                    "CPU by process",
                    [
                        Query(
                            "sum by (instance, process) (rate(process_cpu_seconds_total"
                            '{job=~"$job"}[$__rate_interval]))',
                            "{{process}} {{instance}}",
                        )
                    ],
                    "percentunit",
                    description="100 % is one core.",
                    stacked=True,
                ),
                Panel(
                    "Memory by process",
                    [
                        Query(
                            'sum by (instance, process) (process_resident_memory_bytes{job=~"$job"})',
                            "{{process}} {{instance}}",
                        )
                    ],
                    "bytes",
                    stacked=True,
                ),
                Panel(
                    "Open files, share of the limit",
                    [
                        Query(
                            'max by (instance, process) (process_open_fds{job=~"$job"} / process_max_fds{job=~"$job"})',
                            "{{process}} {{instance}}",
                        )
                    ],
                    "percentunit",
                    thresholds=(0.7, 0.9),
                ),
            ],
        ),
    ],
)

MODELS: Final = Dashboard(
    "trunkline-models",
    "Trunkline: models and cost",
    [
        (
            "Latency",
            [
                Panel("Duration of a completion", quantiles("trunkline_llm_request_seconds", "provider"), "s"),
                Panel("Time to the first token", quantiles("trunkline_first_token_seconds", "provider"), "s"),
            ],
        ),
        (
            "Errors",
            [
                Panel(
                    "Failed attempts by provider and code",
                    per_second("trunkline_llm_errors_total", "provider, code"),
                    "cps",
                ),
                Panel(
                    "Share of failed attempts by provider",
                    [share("trunkline_llm_errors_total", "trunkline_llm_request_seconds_count", "provider")],
                    "percentunit",
                ),
                Panel(
                    "Circuit breakers",
                    highest("trunkline_llm_breaker_state", "provider, model"),
                    description="0 closed, 1 half open, 2 open.",
                    thresholds=(1, 2),
                ),
                Panel(
                    "Answers by the reason of their end",
                    per_second("trunkline_llm_stop_reasons_total", "reason"),
                    "cps",
                ),
                Panel(
                    "Answers that differ from the API",
                    per_second("trunkline_llm_oddities_total", "provider, kind"),
                    "cps",
                ),
            ],
        ),
        (
            "Load",
            [
                Panel("Calls in flight", total("trunkline_llm_in_flight", "provider")),
                Panel("Calls that wait for a provider", total("trunkline_llm_waiting", "provider")),
                Panel("Permitted calls at a time", total("trunkline_llm_concurrency_limit", "provider")),
            ],
        ),
        (
            "Cost",
            [
                stat("Cost, 24 h", 'sum(increase(trunkline_llm_cost_total{job=~"$job"}[24h]))', "currencyUSD"),
                stat(
                    "Cost per answered turn, 24 h",
                    'sum(increase(trunkline_llm_cost_total{job=~"$job"}[24h]))'
                    ' / sum(increase(trunkline_turns_total{job=~"$job", outcome="answered"}[24h]))',
                    "currencyUSD",
                ),
            ],
        ),
        (
            "Spending",
            [
                Panel(
                    "Cost per hour by provider and model",
                    [
                        Query(
                            'sum by (provider, model) (increase(trunkline_llm_cost_total{job=~"$job"}[1h]))',
                            "{{provider}} {{model}}",
                        )
                    ],
                    "currencyUSD",
                    stacked=True,
                ),
                Panel("Tokens by direction", per_second("trunkline_llm_tokens_total", "provider, direction"), "short"),
                Panel(
                    "Spent share of the budget of the day",
                    highest("trunkline_llm_budget_used_ratio", "tenant"),
                    "percentunit",
                    thresholds=(0.8, 1),
                ),
            ],
        ),
    ],
)

STORES: Final = Dashboard(
    "trunkline-stores",
    "Trunkline: streams, archive, caches",
    [
        (
            "Streams",
            [
                Panel("Leaders", highest("trunkline_stream_leader", "stream"), description="0: no leader replies."),
                Panel(
                    "Copies that are missing",
                    [
                        Query(
                            'max by (stream) (trunkline_stream_replicas{job=~"$job"})'
                            ' - max by (stream) (trunkline_stream_replicas_current{job=~"$job"})',
                            "{{stream}}",
                        )
                    ],
                    thresholds=(1, 2),
                ),
                Panel(
                    "Dead letters, 1 h",
                    [
                        Query(
                            'sum by (consumer) (increase(trunkline_dead_letters_total{job=~"$job"}[1h]))',
                            "{{consumer}}",
                        )
                    ],
                ),
                Panel(
                    "Values that cannot be decoded, 1 h",
                    [Query('sum by (kind) (increase(trunkline_undecodable_total{job=~"$job"}[1h]))', "{{kind}}")],
                ),
            ],
        ),
        (
            "Archive",
            [
                Panel("Lag", highest("trunkline_audit_lag_seconds", "job"), "s", thresholds=(30, 60)),
                Panel("Recorded messages", per_second("trunkline_audit_rows_total", "stream"), "cps"),
                Panel("Messages that were recorded already", per_second("trunkline_audit_seen_total", "stream"), "cps"),
                Panel("Messages that PostgreSQL refused", per_second("trunkline_audit_skipped_total", "stream"), "cps"),
                Panel(
                    "Refused passages between regions, 1 h",
                    [
                        Query(
                            'sum by (border) (increase(trunkline_residency_violations_total{job=~"$job"}[1h]))',
                            "{{border}}",
                        )
                    ],
                ),
                Panel(
                    "Refused passages without a record, 1 h",
                    [
                        Query(
                            'sum by (reason) (increase(trunkline_residency_records_lost_total{job=~"$job"}[1h]))',
                            "{{reason}}",
                        )
                    ],
                ),
                Panel("Signed heads for the stream", per_second("trunkline_audit_heads_total", "outcome"), "cps"),
                Panel("Timestamps of heads", per_second("trunkline_audit_timestamps_total", "outcome"), "cps"),
            ],
        ),
        (
            "Retention",
            [
                Panel("Archived records", per_second("trunkline_retention_archived_total", "job"), "cps"),
                Panel("Trimmed records", per_second("trunkline_retention_trimmed_total", "kind"), "cps"),
                Panel("Records under a legal hold", highest("trunkline_retention_held", "job")),
                Panel("Conversations that wait for a consumer", highest("trunkline_retention_waiting", "job")),
            ],
        ),
        (
            "Caches and knowledge",
            [
                Panel(
                    "Cache hits",
                    [share("trunkline_cache_hits_total", "trunkline_cache_misses_total", "cache")],
                    "percentunit",
                    description="Share of the requests that a cache answers.",
                ),
                Panel("Searchable passages", highest("trunkline_knowledge_passages", "process, instance")),
                Panel(
                    "Age of the backup that last had all content",
                    [
                        Query(
                            "time() - max by (job) "
                            '(trunkline_knowledge_backup_current_timestamp_seconds{job=~"$job"} > 0)',
                            "{{job}}",
                        )
                    ],
                    "s",
                    thresholds=(90_000, 172_800),
                ),
                Panel(
                    "Time until certificates expire",
                    [
                        Query(
                            "min by (certificate) "
                            '(trunkline_certificate_expiry_timestamp_seconds{job=~"$job"}) - time()',
                            "{{certificate}}",
                        )
                    ],
                    "s",
                ),
            ],
        ),
    ],
)

_DISKS: Final = 'instance=~"$host", fstype!~"tmpfs|ramfs|overlay|squashfs"'

NODES: Final = Dashboard(
    "trunkline-nodes",
    "Trunkline: nodes",
    [
        (
            "Processor and memory",
            [
                Panel(
                    "CPU",
                    [
                        Query(
                            "1 - avg by (instance) (rate(node_cpu_seconds_total"
                            '{instance=~"$host", mode="idle"}[$__rate_interval]))',
                            "{{instance}}",
                        )
                    ],
                    "percentunit",
                    thresholds=(0.7, 0.9),
                ),
                Panel(
                    "Load per core",
                    [
                        Query(
                            'node_load1{instance=~"$host"} / on (instance) '
                            'count by (instance) (node_cpu_seconds_total{instance=~"$host", mode="idle"})',
                            "{{instance}}",
                        )
                    ],
                    thresholds=(1, 2),
                ),
                Panel(
                    "Memory in use",
                    [
                        Query(
                            '1 - node_memory_MemAvailable_bytes{instance=~"$host"}'
                            ' / node_memory_MemTotal_bytes{instance=~"$host"}',
                            "{{instance}}",
                        )
                    ],
                    "percentunit",
                    thresholds=(0.8, 0.95),
                ),
            ],
        ),
        (
            "Disk and network",
            [
                Panel(
                    "Disk space in use",
                    [
                        Query(
                            f"1 - node_filesystem_avail_bytes{{{_DISKS}}} / node_filesystem_size_bytes{{{_DISKS}}}",
                            "{{instance}} {{mountpoint}}",
                        )
                    ],
                    "percentunit",
                    thresholds=(0.8, 0.9),
                ),
                Panel(
                    "Disk busy",
                    [
                        Query(
                            'rate(node_disk_io_time_seconds_total{instance=~"$host"}[$__rate_interval])',
                            "{{instance}} {{device}}",
                        )
                    ],
                    "percentunit",
                ),
                Panel(
                    "Network",
                    [
                        Query(
                            f"sum by (instance) (rate(node_network_{direction}_bytes_total"
                            '{instance=~"$host", device!="lo"}[$__rate_interval]))',
                            f"{{{{instance}}}} {word}",
                        )
                        for direction, word in (("receive", "in"), ("transmit", "out"))
                    ],
                    "Bps",
                ),
            ],
        ),
    ],
    [HOST],
)

DASHBOARDS: Final = (CONVERSATIONS, AGENTS, MODELS, STORES, NODES)


def main(folder: Path) -> None:
    """Write one file per dashboard."""
    for dashboard in DASHBOARDS:
        text = json.dumps(render(dashboard), indent=2, ensure_ascii=False)
        (folder / f"{dashboard.uid}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "dashboards")
