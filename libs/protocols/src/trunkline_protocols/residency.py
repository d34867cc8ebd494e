"""Message in stream VIOLATIONS: data of one region was about to reach another one, and was refused."""

from __future__ import annotations

from trunkline_protocols.rules.residency import Border
from trunkline_protocols.wire import Wire


class ResidencyViolated(Wire, frozen=True, kw_only=True, tag="residency.violated"):
    """A process refused to pass data over a border between regions; names and hashes only, no text."""

    border: Border
    from_region: str
    """Region of the data, or of the request for it; `unknown` if it names none."""
    to_region: str
    """Region that the data would have reached."""
    service: str
    instance: str
    at: float
    conversation: str = ""
    customer: str = ""
    """Hash of the customer's tenant and id, as in KV CUSTOMERS."""
    asset: str = ""
    """Name of the tool, provider, stream, archive or backup, if the border has one."""
