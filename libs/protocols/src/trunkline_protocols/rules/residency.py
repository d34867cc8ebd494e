"""The decision at every border: whether data of one region may reach a place in another one.

Default: only its own region. A policy opens a border to systems outside of the suite, which its operator chooses: model
providers, tools and readers of facts. The borders within Trunkline cannot be opened: nothing serves a conversation of
another region, so its data would be stored where nothing finds, exports or erases it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal, get_args

from trunkline_protocols.ids import InvalidIdError, token

Border = Literal[
    "session",
    "conversation",
    "work",
    "handoff",
    "consultation",
    "customer",
    "tool",
    "retrieval",
    "completion",
    "provider",
    "record",
    "archive",
    "backup",
    "console",
    "streams",
    "database",
    "collections",
]
BORDERS: Final[tuple[Border, ...]] = get_args(Border)
OPENABLE: Final[frozenset[Border]] = frozenset({"customer", "tool", "provider"})
"""Borders to systems outside of the suite, which a policy may open."""

UNKNOWN: Final = "unknown"
"""Recorded for a region that is missing or invalid."""

Policy = Mapping[str, Collection[str]]
"""Region of the data -> regions of places that it may reach, instead of its own one alone."""
SAME_REGION: Final[Policy] = {}


def may_cross(border: Border, *, data: str, place: str, policy: Policy = SAME_REGION) -> bool:
    """Return whether data of region `data` may cross a border to a place in region `place`.

    Fails closed: a missing or an invalid region crosses no border. A policy counts for the openable borders only.
    """
    if not (_is_region(data) and _is_region(place)):
        return False
    if border in OPENABLE and data in policy:
        return place in policy[data]
    return data == place


def place_of(region: str, regions: Collection[str]) -> str:
    """Return the place of a system that serves some regions, for data of `region`: its own region if it may have it.

    Without a list the system stands in every region.
    """
    return region if not regions or region in regions else min(regions)


def recorded_region(region: str) -> str:
    """Return a region as it is recorded: `unknown` for any other text, which a client may send."""
    return region if _is_region(region) else UNKNOWN


def _is_region(value: str) -> bool:
    try:
        token(value, "region")
    except InvalidIdError:
        return False
    return True
