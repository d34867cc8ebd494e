"""The guard of a process' borders, and the region of an account, on a real nats-server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from trunkline_chassis.bus import Bus, connect
from trunkline_chassis.cancellation import cancel_and_wait
from trunkline_chassis.drift import find_drift
from trunkline_chassis.errors import BusConfigError, BusRefusedError, BusUnavailableError
from trunkline_chassis.provision import TopologyOptions, provision
from trunkline_chassis.residency import Borders
from trunkline_chassis.service_topology import ServiceTopology
from trunkline_chassis.settings import ProcessSettings
from trunkline_protocols import codec, streams, subjects
from trunkline_protocols.ids import Instance
from trunkline_protocols.residency import ResidencyViolated
from trunkline_protocols.topology import whole_topology

from tests.support.nats import nats_cluster, nats_server

TEXT = "I live in Main Street 1"


def count(border: str) -> float:
    """Return the counted refusals of a border."""
    return REGISTRY.get_sample_value("trunkline_residency_violations_total", {"border": border}) or 0.0


async def recorded(bus: Bus, region: str) -> list[ResidencyViolated]:
    """Return the records of a region, oldest first."""
    stored = await bus.read_messages(streams.VIOLATIONS.name, subjects.violation_any(region))
    return [codec.violation.decode(message.payload) for message in stored]


@asynccontextmanager
async def guarding(bus: Bus, region: str) -> AsyncIterator[Borders]:
    """Run a guard until everything that it refused in the block is recorded."""
    borders = Borders(bus, region=region, service="agents", instance=Instance("agents-1"))
    running = asyncio.ensure_future(borders.run())
    try:
        yield borders
        await borders.drain(20.0)
    finally:
        await cancel_and_wait([running])


@pytest.mark.processes
async def test_refused_passage_is_recorded_and_counted_without_texts(bus: Bus) -> None:
    """The record has regions, names and hashes; a text in the place of an id is left out."""
    region, before = f"r{secrets.token_hex(4)}", count("tool")
    async with guarding(bus, region) as borders:
        assert borders.admits("tool", data=region)
        assert not borders.admits(
            "tool", data=TEXT, conversation=TEXT, customer=("default", TEXT), asset="refund", record_id="1"
        )
        assert not borders.admits("tool", data=region, place="us", conversation="c1", asset=TEXT, record_id="2")
    first, second = await recorded(bus, region)
    assert (first.border, first.from_region, first.to_region, first.asset) == ("tool", "unknown", region, "refund")
    assert (first.service, first.instance, first.conversation, len(first.customer) > 16) == (
        *("agents", "agents-1", ""),
        True,
    )
    assert (second.from_region, second.to_region, second.conversation, second.asset) == (region, "us", "c1", "")
    assert not any(TEXT.encode() in codec.encode(each) for each in (first, second))
    assert count("tool") - before == 2


@pytest.mark.processes
async def test_redelivered_attempt_is_recorded_once(bus: Bus) -> None:
    """The same message may arrive again."""
    region = f"r{secrets.token_hex(4)}"
    async with guarding(bus, region) as borders:
        for _ in range(3):
            assert not borders.admits("record", data="us", record_id=f"{region}-7")
    assert len(await recorded(bus, region)) == 1


@pytest.mark.processes
async def test_records_wait_for_a_server_that_is_down(tmp_path: Path) -> None:
    """Nothing is lost with it, and nothing is refused later than it was tried."""
    with nats_server(tmp_path) as url:
        bus = await connect(url, "test")
        await provision(bus, region="eu", specialties=[], replicas=1)
        await bus.api(f"STREAM.DELETE.{streams.VIOLATIONS.name}")
        async with guarding(bus, "eu") as borders:
            for _ in range(100):
                assert not borders.admits("work", data="us")
            await asyncio.sleep(0.5)  # the first attempts fail
            await provision(bus, region="eu", specialties=[], replicas=1)
        assert len(await recorded(bus, "eu")) == 100
        await bus.close()


# -- the region of an account ---


@pytest.mark.processes
async def test_account_of_another_region_refuses_provisioning_and_services(tmp_path: Path) -> None:
    """The attempts are recorded where they were made, and change nothing."""
    with nats_server(tmp_path) as url:
        bus = await connect(url, "test")
        await provision(bus, region="eu", specialties=["triage"], replicas=1)
        before = await bus.api("STREAM.NAMES")
        with pytest.raises(BusConfigError, match=r"'eu'.*'us'"):
            await provision(bus, region="us", specialties=["triage"], replicas=1)
        for service in ("conversation", "agents", "audit", "rag", "llm_gateway", "ingress"):
            topology = ServiceTopology(bus, service, ProcessSettings(region="us", instance=f"{service}-1"))
            with pytest.raises(BusConfigError, match=r"'eu'.*'us'"):
                await topology.repair()
            await ServiceTopology(bus, service, ProcessSettings(region="eu")).repair()
        assert (await bus.api("STREAM.NAMES"))["streams"] == before["streams"]
        found = await recorded(bus, "eu")
        assert {each.border for each in found} == {"streams"}
        assert {(each.service, each.from_region, each.to_region) for each in found} == {
            (service, "us", "eu")
            for service in ("provision", "conversation", "agents", "audit", "rag", "llm_gateway", "ingress")
        }
        await bus.close()


@pytest.mark.processes
async def test_streams_of_an_earlier_version_get_the_region_of_their_suite(tmp_path: Path) -> None:
    """Until they are provisioned again, services of either version work with them."""
    with nats_server(tmp_path) as url:
        bus = await connect(url, "test")
        await provision(bus, region="eu", specialties=[], replicas=1)
        for name in (await bus.api("STREAM.NAMES"))["streams"]:
            config = (await bus.api(f"STREAM.INFO.{name}"))["config"]
            del config["metadata"]["trunkline_region"]
            await bus.api(f"STREAM.UPDATE.{name}", config)
        await ServiceTopology(bus, "conversation", ProcessSettings(region="eu")).repair()
        drift = await provision(bus, region="eu", specialties=[], replicas=1)
        assert {(each.field, each.kind) for each in drift} == {("region", "corrected")}
        assert await provision(bus, region="eu", specialties=[], replicas=1) == []
        with pytest.raises(BusConfigError):
            await provision(bus, region="us", specialties=[], replicas=1)
        options = TopologyOptions(region="us")
        broken = await find_drift(bus, whole_topology("eu", []), options)
        assert {(each.field, each.kind) for each in broken} == {("region", "broken")}
        await bus.close()


# -- placement ---


async def leaders(bus: Bus) -> dict[str, str]:
    """Return the server of every stream."""
    names: list[str] = (await bus.api("STREAM.NAMES"))["streams"]
    found: dict[str, Any] = {name: await bus.api(f"STREAM.INFO.{name}") for name in names}
    return {name: info["cluster"]["leader"] for name, info in found.items()}


@pytest.mark.processes
@pytest.mark.timeout(180)
async def test_streams_lie_on_servers_with_the_tags_of_their_region(tmp_path: Path) -> None:
    """Every stream and bucket of the account is placed on the only server with the tag; services place theirs too."""
    with nats_cluster(tmp_path, ["region:us", "region:eu", "region:us"]) as servers:
        bus = await connect(",".join(url for url, _ in servers.values()), "test")
        await provision(bus, region="eu", specialties=[], replicas=1, tags=["region:eu"])
        assert set((await leaders(bus)).values()) == {"n2"}
        await bus.api(f"STREAM.DELETE.{streams.INBOX.name}")
        settings = ProcessSettings(region="eu", stream_tags=["region:eu"])
        assert streams.INBOX.name in await ServiceTopology(bus, "conversation", settings).repair()
        assert (await leaders(bus))[streams.INBOX.name] == "n2"
        await bus.close()


@pytest.mark.processes
async def test_stream_is_refused_without_a_server_with_the_tags(tmp_path: Path) -> None:
    """A suite does not store data of a region somewhere else because its servers are not there."""
    with nats_cluster(tmp_path, ["region:us", "region:us", "region:us"]) as servers:
        bus = await connect(",".join(url for url, _ in servers.values()), "test")
        config = {"name": "T", "subjects": ["t"], "placement": {"tags": ["region:eu"]}}
        reason = ""
        async with asyncio.timeout(60):
            while "no suitable peers" not in reason:  # else the cluster has no leader yet
                with pytest.raises((BusRefusedError, BusUnavailableError)) as refused:
                    await bus.api("STREAM.CREATE.T", config)
                reason = str(refused.value)
        await bus.close()
