"""The keys of the services of a lab: what one does that is stolen."""

from __future__ import annotations

import nats
from trunkline_chassis.nats_security import NatsSecurity
from trunkline_protocols.permissions import Principal, inbox_prefix

from tests.cluster.lab import Lab
from tests.support.permission_probe import refused_by_table, try_subjects

_REGION = "local"


async def try_forbidden(lab: Lab, principal: Principal) -> int:
    """Try with one key, over the network, what the permission table does not grant it; return the number of subjects.

    What it grants is not tried: the supervisor's key empties and deletes streams.
    """
    violations: list[str] = []

    async def on_error(error: Exception) -> None:
        violations.append(str(error))

    secrets = lab.folder / "secrets"
    security = NatsSecurity(nkey=secrets / "nats" / f"{principal}.seed", ca=secrets / "pki" / "ca.pem")
    url = ",".join(f"tls://{address}:4222" for address in lab.addresses.values())
    client = await nats.connect(**security.options(url), error_cb=on_error, inbox_prefix=inbox_prefix(principal))
    forbidden = refused_by_table(principal, region=_REGION)
    refused = await try_subjects(client, principal, violations, forbidden)
    assert refused == forbidden.lower(), f"the key of {principal} does more than the permission table grants"
    return len(forbidden.publish) + len(forbidden.subscribe)
