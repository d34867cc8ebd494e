"""Access to Milvus: the embedded one is closed to other accounts, a server gets a token over TLS."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import psutil
import pytest
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from milvus_lite.db import MilvusLite
from pymilvus import MilvusException
from pymilvus.grpc_gen import milvus_pb2_grpc
from trunkline_rag.adapters.milvus import MilvusAccess, MilvusStore

from tests.support.certificates import Certificates, issue

TOKEN = "keeper:secret-of-the-store"


class TokenCheck(grpc.ServerInterceptor):  # type: ignore[misc] # the package has no types
    """Refuses calls without the token, as a Milvus server with authentication does."""

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        expected = base64.b64encode(TOKEN.encode()).decode()
        if dict(details.invocation_metadata).get("authorization") == expected:
            return continuation(details)

        def refuse(_: Any, context: Any) -> None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure, please check api key is correct")

        return grpc.unary_unary_rpc_method_handler(refuse)


@contextmanager
def milvus_server(folder: Path, certificates: Certificates | None = None) -> Iterator[int]:
    """Run a server that requires the token; yield its port."""
    files = MilvusLite(str(folder / "server"))
    server = grpc.server(ThreadPoolExecutor(4), interceptors=[TokenCheck()])
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(files), server)
    if certificates is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        pair = (certificates.key.read_bytes(), certificates.certificate.read_bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=0).wait()
        files.close()


def test_embedded_store_listens_on_a_private_socket_alone(tmp_path: Path) -> None:
    """Milvus Lite has no access control: on a port, every account could read and change the knowledge base."""
    sockets = tmp_path / "run"
    own = psutil.Process()
    before = {connection.laddr for connection in own.net_connections("inet") if connection.status == psutil.CONN_LISTEN}
    store = MilvusStore(str(tmp_path / "milvus"), access=MilvusAccess(socket_dir=sockets))
    try:
        after = {
            connection.laddr for connection in own.net_connections("inet") if connection.status == psutil.CONN_LISTEN
        }
        assert after == before
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert stat.S_IMODE((sockets / "milvus.sock").stat().st_mode) == 0o600
        assert store.latest_versions("default") == {}
    finally:
        store.close()
    assert list(sockets.iterdir()) == []


def test_store_in_a_deep_folder_uses_a_short_socket(tmp_path: Path) -> None:
    """The address of a socket has 107 bytes at most."""
    folder = tmp_path / ("d" * 110) / "milvus"
    store = MilvusStore(str(folder))
    try:
        assert store.latest_versions("default") == {}
        assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0 or os.umask(os.umask(0)) == 0
    finally:
        store.close()


def test_server_is_used_with_the_right_token_only(tmp_path: Path) -> None:
    """As TRUNKLINE_MILVUS_TOKEN gives it."""
    with milvus_server(tmp_path) as port:
        uri = f"http://127.0.0.1:{port}"
        MilvusStore(uri, native_search=False, access=MilvusAccess(token=TOKEN)).close()
        for token in ("", "keeper:wrong"):
            with pytest.raises(MilvusException, match="connecting"):
                MilvusStore(uri, native_search=False, access=MilvusAccess(token=token))


def test_certificate_of_the_server_is_checked(tmp_path: Path) -> None:
    """The token must not reach a server in the middle."""
    certificates, other = issue(tmp_path / "right", "localhost"), issue(tmp_path / "other", "localhost")
    with milvus_server(tmp_path, certificates) as port:
        uri = f"https://localhost:{port}"
        # First, since the client shares a connection that exists.
        with pytest.raises(MilvusException, match="connecting"):
            MilvusStore(uri, native_search=False, access=MilvusAccess(token=TOKEN, ca=other.ca))
        MilvusStore(uri, native_search=False, access=MilvusAccess(token=TOKEN, ca=certificates.ca)).close()


def test_token_is_not_shown() -> None:
    """In no traceback and in no log."""
    assert TOKEN not in repr(MilvusAccess(token=TOKEN))
