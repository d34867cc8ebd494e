"""The NATS accounts of a cluster: an NKEY per service, with its row of the permission table."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.client import Client
from trunkline_protocols.permissions import PRINCIPALS, inbox_prefix
from trunkline_supervisor.adapters.tcp import free_port

from tests.deployment.scripts import script

pytestmark = pytest.mark.processes
ACCOUNTS = script("nats", "accounts")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the seeds."""
    return tmp_path_factory.mktemp("nats") / "seeds"


@pytest.fixture(scope="module")
def url(seeds: Path) -> Iterator[str]:
    """Run a server with the accounts."""
    block = ACCOUNTS.main(seeds, "local")["accounts"]
    port = free_port()
    config = seeds.parent / "nats.conf"
    store = seeds.parent / "jetstream"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{store}" }}\n'
        f"accounts: {msgspec.json.encode(block).decode()}\nsystem_account: SYS\n",
        encoding="utf-8",
    )
    command = [str(Path(sys.executable).parent / "nats-server"), "--config", str(config)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield f"nats://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


async def connect(url: str, seeds: Path, principal: str, errors: list[str]) -> Client:
    """Connect with the key of a principal; refusals of the server are collected."""

    async def on_error(error: Exception) -> None:
        errors.append(str(error))

    deadline = time.monotonic() + 30
    while True:
        try:
            return await nats.connect(
                url,
                nkeys_seed=str(seeds / f"{principal}.seed"),
                inbox_prefix=inbox_prefix(principal),
                error_cb=on_error,
                allow_reconnect=False,
            )
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def test_stolen_key_does_no_more_than_its_row(url: str, seeds: Path) -> None:
    """The key of the gateway opens neither the log of conversations nor the inbox nor the API of streams."""
    errors: list[str] = []
    client = await connect(url, seeds, "llm_gateway", errors)
    forbidden = ("conv.local.0.c.turn", "inbox.local.0.c", "$JS.API.STREAM.DELETE.INBOX", "$KV.FLEET.fleet")
    for subject in forbidden:
        await client.publish(subject, b"{}")
        await client.flush()
    # The client reports subjects in lower case. The test ends by its timeout if one is not refused.
    while not all(any(f'"{subject.lower()}"' in error for error in errors) for subject in forbidden):
        await asyncio.sleep(0.05)
    await client.close()


@pytest.mark.parametrize("principal", PRINCIPALS)
async def test_every_principal_connects_with_its_key(url: str, seeds: Path, principal: str) -> None:
    """A seed that the server does not know would keep a service from its start."""
    client = await connect(url, seeds, principal, [])
    assert client.is_connected
    await client.close()


def test_seeds_are_drawn_once_and_closed(tmp_path: Path) -> None:
    """A second run changes no key; other accounts of the control host read none."""
    first = ACCOUNTS.main(tmp_path / "seeds", "local")
    second = ACCOUNTS.main(tmp_path / "seeds", "local")
    assert set(first["drawn"]) == {*PRINCIPALS, "sites", "system"}
    assert second == {**first, "drawn": []}
    for seed in (tmp_path / "seeds").iterdir():
        assert stat.S_IMODE(seed.stat().st_mode) == 0o600


def test_replaced_key_changes_one_account(tmp_path: Path) -> None:
    """A key is rotated by deleting its seed; every other service keeps its own."""
    first = ACCOUNTS.main(tmp_path, "local")["accounts"]["TRUNKLINE"]["users"]
    (tmp_path / "rag.seed").unlink()
    drawn = ACCOUNTS.main(tmp_path, "local")
    changed = [
        old["nkey"] != new["nkey"] for old, new in zip(first, drawn["accounts"]["TRUNKLINE"]["users"], strict=True)
    ]
    assert drawn["drawn"] == ["rag"]
    assert sum(changed) == 1
