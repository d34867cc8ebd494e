"""No log of a process holds the secret of a connection that fails: embedding service, Milvus, NATS.

Each process runs alone, since a suite does not start with such a server. The servers repeat the secret that they
receive.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
import nkeys
import pytest
from aiohttp import web
from pymilvus.grpc_gen import milvus_pb2_grpc
from trunkline_agents.adapters.artefact_store import KvArtefactStore
from trunkline_agents.ports import TrainingFailedError
from trunkline_chassis.bus import Bus
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_supervisor.adapters.tcp import free_port

from tests.support.http_server import serve_http
from tests.support.suite import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]
FLEET: Final = Path(__file__).parents[2] / "fleet"
_END_TIMEOUT_S: Final = 90.0


@dataclass(frozen=True)
class Ended:
    """A process that has ended: its status and everything that it has written."""

    status: int
    text: str

    def assert_failed_without(self, *secret: str) -> None:
        """Assert that the process has failed and written a log, and none of these."""
        assert self.status > 0, self.text
        self.assert_logged_without(*secret)

    def assert_logged_without(self, *secret: str) -> None:
        """Assert that the process has written a log, and none of these."""
        assert '"event"' in self.text
        for each in secret:
            assert each not in self.text, next(line for line in self.text.splitlines() if each in line)


def canary(place: str) -> str:
    """Return a secret that is found in any text."""
    return f"canary-{place}-{secrets.token_hex(12)}"


async def run(service: str, folder: Path, **settings: str) -> Ended:
    """Run a service until it ends."""
    variables = {
        "INSTANCE": f"{service}-1",
        "LOG_LEVEL": "debug",
        "MILVUS_URI": str(folder / "milvus"),
        "BACKUP_URL": str(folder / "backups"),
        **settings,
    }
    environment = os.environ | {f"TRUNKLINE_{name}": value for name, value in variables.items()}
    command = [sys.executable, "-m", f"trunkline_{service}"]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=_END_TIMEOUT_S, check=False
    )
    return Ended(done.returncode, done.stdout + done.stderr)


async def run_until_delayed(service: str, folder: Path, **settings: str) -> Ended:
    """Run a service until it has reported that it waits for NATS, then stop it."""
    environment = os.environ | {f"TRUNKLINE_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", f"trunkline_{service}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: ASYNC220 - takes no time
    try:
        await asyncio.to_thread(
            wait_until, lambda: '"process.start_delayed"' in (folder / "log").read_text(), "the start is delayed", 60
        )
        assert process.poll() is None
    finally:
        process.terminate()
        status = await asyncio.to_thread(process.wait, 30)
    return Ended(status, (folder / "log").read_text())


# -- the embedding service ---


async def _refuse(request: web.Request) -> web.Response:
    key = request.headers["Authorization"].removeprefix("Bearer ")
    return web.Response(status=401, reason=f"bad key {key}", headers={"X-Key": key}, text=f"bad key {key}")


async def _garble(request: web.Request) -> web.Response:
    return web.Response(text=f'{{"data": "{request.headers["Authorization"]}"}}')


async def _hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@asynccontextmanager
async def embedding_service(handler: Any) -> AsyncIterator[str]:
    """Run a service; yield its address."""
    async with serve_http([web.post("/v1/embeddings", handler)], cancels_handlers=False) as url:
        yield f"{url}/v1"


@pytest.mark.parametrize(
    ("handler", "end"),
    [(_refuse, ""), (_garble, ""), (_hang_up, ""), (_refuse, "\n"), (_refuse, "ü")],
    ids=["refused", "garbled", "hung up", "line break", "non-ASCII"],
)
async def test_key_of_the_embedder(bus: Bus, nats_url: str, tmp_path: Path, handler: Any, end: str) -> None:
    """Refused and repeated, or not sendable in a header at all."""
    del bus  # has created the streams
    key = canary("embedder")
    async with embedding_service(handler) as url:
        options = {"EMBEDDER": "remote", "EMBEDDER_URL": url, "EMBEDDER_MODEL": "m", "EMBEDDER_KEY": key + end}
        ended = await run("rag", tmp_path, NATS_URL=nats_url, **options)
    ended.assert_failed_without(key)
    assert "trunkline_embedding/remote.py" in ended.text


@pytest.mark.parametrize("end", ["", "\n", "ü"], ids=["refused", "line break", "non-ASCII"])
async def test_key_of_the_embedder_in_the_trainer(bus: Bus, end: str) -> None:
    """Its error output, which an agents process logs, is one line without messages of libraries."""
    key = canary("embedder")
    async with embedding_service(_refuse) as url:
        options = {"EMBEDDER": "remote", "EMBEDDER_URL": url, "EMBEDDER_MODEL": "m", "EMBEDDER_KEY": key + end}
        with pytest.MonkeyPatch.context() as environment:
            for name, value in options.items():
                environment.setenv(f"TRUNKLINE_{name}", value)
            with pytest.raises(TrainingFailedError, match=r"EmbeddingError|UnicodeEncodeError") as failure:
                await KvArtefactStore(bus, training_timeout_s=60).model(f"v-{secrets.token_hex(4)}", load_fleet(FLEET))
    assert key not in str(failure.value)
    assert len(str(failure.value).splitlines()) == 1


# -- Milvus ---


class _Refusal(grpc.ServerInterceptor):  # type: ignore[misc] # the package has no types
    """Refuses every call and repeats its token, as received and decoded."""

    def __init__(self) -> None:
        self.tokens: set[str] = set()

    def intercept_service(self, _: Any, details: Any) -> Any:
        sent = str(dict(details.invocation_metadata).get("authorization", ""))
        token = base64.b64decode(sent).decode()
        self.tokens.add(token)

        def refuse(_: Any, context: Any) -> None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"no user has the token {token} ({sent})")

        return grpc.unary_unary_rpc_method_handler(refuse)


@contextmanager
def refusing_milvus() -> Iterator[tuple[str, set[str]]]:
    """Run a server; yield its address and the tokens that it receives."""
    refusal = _Refusal()
    server = grpc.server(ThreadPoolExecutor(2), interceptors=[refusal])
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(milvus_pb2_grpc.MilvusServiceServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", refusal.tokens
    finally:
        server.stop(grace=0).wait()


@pytest.mark.parametrize("user", ["", "root:"], ids=["token", "password"])
async def test_token_of_milvus(bus: Bus, nats_url: str, tmp_path: Path, user: str) -> None:
    """The server repeats it in its refusal."""
    del bus  # has created the streams
    token = canary("milvus")
    encoded = base64.b64encode(f"{user}{token}".encode()).decode()
    with refusing_milvus() as (uri, tokens):
        ended = await run("rag", tmp_path, NATS_URL=nats_url, MILVUS_URI=uri, MILVUS_TOKEN=user + token)
        assert tokens == {user + token}
    ended.assert_failed_without(token, encoded)


# -- NATS ---


@contextmanager
def refusing_nats(folder: Path) -> Iterator[str]:
    """Run a server that knows another password and another key; yield its address without the scheme."""
    port = free_port()
    other_key = nkeys.from_seed(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)).public_key.decode()
    (folder / "nats.conf").write_text(
        f'listen: "127.0.0.1:{port}"\n'
        f'authorization {{ users: [{{ user: "ada", password: "right" }}, {{ nkey: "{other_key}" }}] }}\n'
    )
    program = str(Path(sys.executable).parent / "nats-server")
    with (folder / "nats.log").open("w") as log:
        server = subprocess.Popen([program, "--config", str(folder / "nats.conf")], stdout=log, stderr=log)
        try:
            wait_until(lambda: "Server is ready" in (folder / "nats.log").read_text(), "nats-server is ready")
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)


@pytest.mark.parametrize("place", ["variable", "address", "address without user"])
async def test_password_of_nats(tmp_path: Path, place: str) -> None:
    """Refused by the server."""
    password = canary("nats")
    with refusing_nats(tmp_path) as server:
        settings = {
            "variable": {"NATS_URL": f"nats://{server}", "NATS_USER": "ada", "NATS_PASSWORD": password},
            "address": {"NATS_URL": f"nats://ada:{password}@{server}"},
            "address without user": {"NATS_URL": f"nats://{password}@{server}"},
        }[place]
        ended = await run_until_delayed("rag", tmp_path, **settings)
    ended.assert_logged_without(password)
    assert "refused the credentials" in ended.text


@pytest.mark.parametrize("content", ["credentials", "credentials without markers", "seed", "damaged seed"])
async def test_credentials_file_of_nats(tmp_path: Path, content: str) -> None:
    """Refused by the server, or not readable as what it should be."""
    token, seed = canary("jwt"), nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode()
    damaged = canary("seed")
    marked = "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n"
    variable, text = {
        "credentials": ("NATS_CREDS", marked.format(token, seed) + "------END USER NKEY SEED------\n"),
        "credentials without markers": ("NATS_CREDS", f"{token}\n{damaged}\n"),
        "seed": ("NATS_NKEY", seed),
        "damaged seed": ("NATS_NKEY", damaged),
    }[content]
    (tmp_path / "credentials").write_text(text)
    with refusing_nats(tmp_path) as server:
        files = {variable: str(tmp_path / "credentials")}
        ended = await run_until_delayed("rag", tmp_path, NATS_URL=f"nats://{server}", **files)
    ended.assert_logged_without(token, seed, damaged)
