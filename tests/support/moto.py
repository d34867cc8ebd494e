"""A bucket in S3, served by moto: `./just peers` installs it into a separate environment."""

from __future__ import annotations

import os
import secrets
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from trunkline_supervisor.adapters.tcp import free_port

_SERVER: Final = Path(os.environ.get("TRUNKLINE_PEERS", "/nowhere")) / "bin" / "moto_server"
NEEDS_MOTO: Final = pytest.mark.skipif(not _SERVER.is_file(), reason="no moto: run ./just peers")


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """Run the server for all tests of the session."""
    port = free_port()
    with subprocess.Popen([str(_SERVER), "-p", str(port)], stderr=subprocess.PIPE) as server:
        assert server.stderr is not None
        while b"Running on" not in server.stderr.readline():
            assert server.poll() is None
        drain = threading.Thread(target=server.stderr.read)  # its log of requests must not fill the pipe
        drain.start()
        yield f"http://127.0.0.1:{port}"
        server.terminate()
        drain.join(10)


@pytest.fixture
def bucket(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket with a prefix; keys and endpoint come from the AWS environment variables."""
    name = f"bucket-{secrets.token_hex(4)}"
    creation = urllib.request.Request(f"{moto_endpoint}/{name}", method="PUT")  # noqa: S310 - our own server
    with urllib.request.urlopen(creation, timeout=10):  # noqa: S310 - the same
        pass
    settings = {"ENDPOINT": moto_endpoint, "ALLOW_HTTP": "true", "REGION": "us-east-1"}
    keys = {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}
    for each, value in (settings | keys).items():
        monkeypatch.setenv(f"AWS_{each}", value)
    return f"s3://{name}/below/here"
