"""HTTP endpoints of a process: /healthz (liveness), /readyz (readiness), /metrics (Prometheus)."""

from __future__ import annotations

import inspect
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from trunkline_chassis.errors import StartError
from trunkline_chassis.http_address import http_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from aiohttp.typedefs import Handler

IsReady: TypeAlias = "Callable[[], bool | Awaitable[bool]]"


def add_health_routes(
    app: web.Application, is_ready: IsReady, *, degraded: Callable[[], Sequence[str]] = tuple, prefix: str = ""
) -> None:
    """Add liveness and readiness to an application below a path prefix; they are open to every caller.

    `degraded` names the services without which answers go on, but with less in them.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def readyz(_: web.Request) -> web.Response:
        answer = is_ready()
        ready = await answer if inspect.isawaitable(answer) else answer
        lacking = {"degraded": list(parts)} if ready and (parts := degraded()) else {}
        return web.json_response({"ready": ready} | lacking, status=200 if ready else 503)

    app.add_routes([web.get(f"{prefix}/healthz", healthz), web.get(f"{prefix}/readyz", readyz)])


async def serve_metrics(_: web.Request) -> web.Response:
    """Serve the metrics of this process."""
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


@contextmanager
def listening(host: str, port: int) -> Iterator[None]:
    """Raise `StartError` with a line for the operator if the block cannot listen on an address."""
    try:
        yield
    except OSError as error:
        raise StartError(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from error


class HealthServer:
    """HTTP server of health and metrics without access control, on an address that only the operator reaches."""

    def __init__(self, host: str, port: int, is_ready: IsReady, *, metrics: Handler = serve_metrics) -> None:
        """Port 0 selects a free port; `metrics` handles /metrics."""
        self._host = host
        self._port = port
        app = web.Application()
        add_health_routes(app, is_ready)
        app.router.add_get("/metrics", metrics)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> str:
        """Listen and return the address; raises `StartError` if that is impossible, and can be repeated."""
        if self._runner.server is None:
            await self._runner.setup()
        with listening(self._host, self._port):
            await web.TCPSite(self._runner, self._host, self._port).start()
        host, port = self._runner.addresses[0][:2]
        return http_url(host, port)

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()
