"""A timestamp authority (RFC 3161): `openssl ts` behind a small HTTP server."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

NEEDS_OPENSSL: Final = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
_CONFIG: Final = """
[ tsa ]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
[ req ]
distinguished_name = names
[ names ]
[ signer ]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[ authority ]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""
_NEW_KEY: Final = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config tsa.cnf"


class Authority:
    """One authority with its certificates in a folder."""

    def __init__(self, folder: Path) -> None:
        """Create keys and certificates."""
        folder.mkdir()
        self._folder = folder
        (folder / "tsa.cnf").write_text(_CONFIG)
        (folder / "serial").write_text("01\n")
        self._openssl(f"req -x509 {_NEW_KEY} -keyout ca.key -out ca.pem -subj /CN=ca -days 30 -extensions authority")
        self._openssl(f"req {_NEW_KEY} -keyout tsa.key -out tsa.csr -subj /CN=tsa")
        certificate = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile tsa.cnf -extensions signer"
        self._openssl(f"x509 -req -in tsa.csr {certificate} -out tsa.pem")
        self.certificates = folder / "ca.pem"
        self.requests = 0
        self.fault = ""
        """`refuse` replies with an error of HTTP, `other` with the timestamp of the request before."""
        self._before = b""

    def _openssl(self, arguments: str) -> None:
        command = ["openssl", *arguments.split()]
        subprocess.run(command, cwd=self._folder, capture_output=True, check=True, timeout=30)

    def _reply(self, query: bytes) -> bytes:
        (self._folder / "query").write_bytes(query)
        self._openssl(
            "ts -reply -config tsa.cnf -section tsa -queryfile query -inkey tsa.key -signer tsa.pem -out reply"
        )
        return (self._folder / "reply").read_bytes()

    async def handle(self, request: web.Request) -> web.Response:
        """Reply to a request."""
        self.requests += 1
        assert request.content_type == "application/timestamp-query"
        if self.fault == "refuse":
            return web.Response(status=503)
        before, self._before = self._before, await asyncio.to_thread(self._reply, await request.read())
        return web.Response(
            body=before if self.fault == "other" else self._before, content_type="application/timestamp-reply"
        )


@asynccontextmanager
async def served(authority: Authority) -> AsyncIterator[str]:
    """Serve an authority; yield its address."""
    app = web.Application()
    app.router.add_post("/tsr", authority.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/tsr"
    finally:
        await runner.cleanup()
