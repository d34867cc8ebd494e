"""Configurations of streams, buckets and consumers, and their drift. Pure.

Trunkline owns a few fields of a stream, without which it would not work. Everything else belongs to the operator:
copies, limits, compression, placement, further subjects. An owned field is corrected, the number of copies is only ever
raised, and a limit is changed only if the operator has set it. All differences are reported as drift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from trunkline_protocols.streams import BucketSpec, ConsumerSpec, StreamSpec

from trunkline_chassis.stream_limits import StreamLimits

Config = dict[str, Any]
"""A configuration as in the JetStream API; durations in nanoseconds."""

_NS: Final = 1_000_000_000
REGION: Final = "trunkline_region"
"""Key in the metadata of every stream: the region of the account."""
_OWNED: Final = ("allow_direct", "allow_msg_ttl", "allow_rollup_hdrs", "deny_delete", "discard", "max_msgs_per_subject")
_FIXED: Final[dict[str, Literal["kept", "broken"]]] = {"storage": "kept", "retention": "broken"}
"""No server changes them: a stream with another value would have to be created again."""
_OPERATORS: Final = ("max_age", "max_bytes", "max_msgs", "compression", "duplicate_window")
"""Reported if they differ, and left alone."""
_DEFAULTS: Final[Config] = {
    "allow_direct": False,
    "allow_msg_ttl": False,
    "allow_rollup_hdrs": False,
    "deny_delete": False,
    "discard": "old",
    "max_msgs_per_subject": -1,
    "max_age": 0,
    "max_bytes": -1,
    "max_msgs": -1,
    "compression": "none",
    "duplicate_window": 0,
    "num_replicas": 1,
    "max_deliver": -1,
    "mem_storage": False,
    "priority_policy": "none",
    "priority_timeout": 0,
}
"""Values of fields that a server leaves out."""
_CONSUMER_FIELDS: Final = (
    *("ack_policy", "deliver_policy", "ack_wait", "max_deliver", "max_ack_pending", "mem_storage"),
    *("priority_policy", "priority_timeout"),
)


def in_region(config: Config, region: str, tags: Sequence[str]) -> Config:
    """Return the configuration of a new stream with its region, on servers that have all of these tags."""
    placement = {"placement": {"tags": sorted(tags)}} if tags else {}
    return config | {"metadata": {REGION: region}} | placement


def region_of(config: Config) -> str:
    """Return the region of an existing stream; empty for one of an earlier version."""
    return str((config.get("metadata") or {}).get(REGION, ""))


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference between a server and the specification."""

    asset: str
    field: str
    expected: object
    actual: object
    kind: Literal["corrected", "kept", "broken"]
    """Corrected by provisioning, kept as the operator's choice, or a defect that only an operator can remove."""

    def __str__(self) -> str:
        """Return it as a line."""
        return f"{self.asset}: {self.field} is {self.actual!r}, specified {self.expected!r}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """An existing stream against its specification."""

    update: Config | None
    """The configuration to apply; None if the stream needs no change."""
    drift: list[Drift] = field(default_factory=list)


def stream_config(spec: StreamSpec, replicas: int, limits: Mapping[str, StreamLimits]) -> Config:
    """Return the configuration of a new stream."""
    config: Config = {
        "name": spec.name,
        "description": spec.description,
        "subjects": spec.subjects,
        "retention": spec.retention,
        "storage": spec.storage,
        "num_replicas": replicas if spec.replicated else 1,
        "max_age": int(spec.max_age_s * _NS),
        "max_msgs": spec.max_msgs,
        "max_bytes": -1,
        "max_consumers": -1,
        "discard": spec.discard,
        "duplicate_window": int(spec.duplicate_window_s * _NS),
        "allow_direct": True,
        "allow_msg_ttl": spec.allow_msg_ttl,
        "compression": "none",
    } | _limits(limits.get(spec.name))
    _shorten_duplicate_window(config)
    return config


def bucket_config(spec: BucketSpec, replicas: int, limits: Mapping[str, StreamLimits]) -> Config:
    """Return the configuration of the stream of a new bucket."""
    config: Config = {
        "name": f"KV_{spec.name}",
        "description": spec.description,
        "subjects": [f"$KV.{spec.name}.>"],
        "retention": "limits",
        "storage": "memory" if spec.in_memory else "file",
        "num_replicas": 1 if spec.in_memory else replicas,
        "max_msgs_per_subject": spec.history,
        "max_age": int(spec.ttl_s * _NS),
        "max_bytes": -1,
        "max_consumers": -1,
        "discard": "new",
        "duplicate_window": int(min(spec.ttl_s or 120.0, 120.0) * _NS),
        "allow_direct": True,
        "allow_rollup_hdrs": True,
        "deny_delete": not spec.is_erasable,
        "compression": "none",
    } | _limits(limits.get(spec.name))
    _shorten_duplicate_window(config)
    return config


def consumer_config(spec: ConsumerSpec) -> Config:
    """Return the configuration of a consumer, by hand: nats-py has no fields for priority groups."""
    config: Config = {
        "durable_name": spec.name,
        "name": spec.name,
        "ack_policy": "all" if spec.ack_all else "explicit",
        "deliver_policy": "all",
        "ack_wait": int(spec.ack_wait_s * _NS),
        "max_deliver": spec.max_deliver,
        "max_ack_pending": spec.max_ack_pending,
        "filter_subjects": spec.filter_subjects,
        "mem_storage": spec.in_memory,
        "num_replicas": 0,
    }
    if spec.pinned:
        config |= {
            "priority_groups": [spec.pinned],
            "priority_policy": "pinned_client",
            "priority_timeout": int(spec.priority_timeout_s * _NS),
        }
    return config


def compare_stream(actual: Config, specified: Config, limits: StreamLimits | None) -> Comparison:
    """Compare the configuration of an existing stream with the specified one."""
    name = specified["name"]
    update, drift = dict(actual), []
    missing = [subject for subject in specified["subjects"] if subject not in (actual.get("subjects") or [])]
    if missing:
        update["subjects"] = [*(actual.get("subjects") or []), *missing]
        drift.append(Drift(name, "subjects", specified["subjects"], actual.get("subjects"), "corrected"))
    for key in (key for key in _OWNED if key in specified):
        if _value(actual, key) != specified[key]:
            update[key] = specified[key]
            drift.append(Drift(name, key, specified[key], _value(actual, key), "corrected"))
    drift += [
        Drift(name, key, specified[key], _value(actual, key), kind)
        for key, kind in _FIXED.items()
        if _value(actual, key) != specified[key]
    ]
    if _value(actual, "num_replicas") < specified["num_replicas"]:
        update["num_replicas"] = specified["num_replicas"]
        drift.append(_replicas_drift(actual, specified, "corrected"))
    elif _value(actual, "num_replicas") > specified["num_replicas"]:
        drift.append(_replicas_drift(actual, specified, "kept"))
    drift += _compare_place(update, specified)
    drift += _compare_limits(update, specified, _limits(limits))
    return Comparison(update if update != actual else None, drift)


def _compare_place(update: Config, specified: Config) -> list[Drift]:
    """Return the differences of region and placement; a missing region and other tags are corrected in `update`."""
    name, drift = specified["name"], list[Drift]()
    if "metadata" in specified and region_of(update) != region_of(specified):
        kind: Literal["corrected", "broken"] = "broken" if region_of(update) else "corrected"
        drift.append(Drift(name, "region", region_of(specified), region_of(update), kind))
        if kind == "corrected":
            update["metadata"] = (update.get("metadata") or {}) | specified["metadata"]
    if "placement" in specified:
        placement = update.get("placement") or {}
        tags = specified["placement"]["tags"]
        if sorted(placement.get("tags") or []) != tags:
            drift.append(Drift(name, "placement.tags", tags, placement.get("tags"), "corrected"))
            update["placement"] = placement | {"tags": tags}
    return drift


def _compare_limits(update: Config, specified: Config, chosen: Config) -> list[Drift]:
    """Return the differences of the operator's fields; those that the operator has set are written into `update`."""
    drift = []
    for key in (key for key in _OPERATORS if key in specified):
        before = _value(update, key)
        if before == specified[key]:
            continue
        if key in chosen:
            update[key] = chosen[key]
        drift.append(Drift(specified["name"], key, specified[key], before, "corrected" if key in chosen else "kept"))
    _shorten_duplicate_window(update)
    return drift


def compare_consumer(actual: Config, specified: Config) -> list[Drift]:
    """Return the differences of an existing consumer; they are corrected, since no operator configures one.

    Only a consumer of an earlier version, which has each message acknowledged, is kept: no server changes that policy,
    and it works too.
    """
    asset = f"consumer {specified['name']}"
    drift = [
        Drift(asset, key, specified[key], _value(actual, key), _kind(key, specified, actual))
        for key in _CONSUMER_FIELDS
        if key in specified and _value(actual, key) != specified[key]
    ]
    filters = actual.get("filter_subjects") or [actual.get("filter_subject", "")]
    if sorted(filters) != sorted(specified["filter_subjects"]):
        drift.append(Drift(asset, "filter_subjects", specified["filter_subjects"], filters, "corrected"))
    return drift


def _kind(key: str, specified: Config, actual: Config) -> Literal["corrected", "kept"]:
    is_earlier = (specified[key], actual.get(key)) == ("all", "explicit")
    return "kept" if key == "ack_policy" and is_earlier else "corrected"


def _replicas_drift(actual: Config, specified: Config, kind: Literal["corrected", "kept"]) -> Drift:
    return Drift(specified["name"], "num_replicas", specified["num_replicas"], _value(actual, "num_replicas"), kind)


def _limits(limits: StreamLimits | None) -> Config:
    """Return the fields that the operator has set."""
    if limits is None:
        return {}
    chosen: Config = {}
    if limits.max_age_s is not None:
        chosen["max_age"] = int(limits.max_age_s * _NS)
    if limits.max_bytes is not None:
        chosen["max_bytes"] = limits.max_bytes
    if limits.compression is not None:
        chosen["compression"] = limits.compression
    return chosen


def _shorten_duplicate_window(config: Config) -> None:
    """Keep the window of duplicates within the age of messages, as the server demands."""
    if config.get("max_age", 0) > 0:
        config["duplicate_window"] = min(config.get("duplicate_window", 0), config["max_age"])


def _value(config: Config, key: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a field, the server's default if it is absent."""
    return config.get(key, _DEFAULTS.get(key))
