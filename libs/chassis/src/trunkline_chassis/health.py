"""HTTP endpoints of a process: /healthz (liveness), /readyz (readiness), /metrics (Prometheus)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler


def add_health_routes(app: web.Application, is_ready: Callable[[], bool]) -> None:
    """Add liveness and readiness to an application; they are open to every caller."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def readyz(_: web.Request) -> web.Response:
        ready = is_ready()
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])


async def serve_metrics(_: web.Request) -> web.Response:
    """Serve the metrics of this process."""
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


class HealthServer:
    """HTTP server of health and metrics without access control, on an address that only the operator reaches."""

    def __init__(self, host: str, port: int, is_ready: Callable[[], bool], *, metrics: Handler = serve_metrics) -> None:
        """Port 0 selects a free port; `metrics` handles /metrics."""
        self._host = host
        self._port = port
        app = web.Application()
        add_health_routes(app, is_ready)
        app.router.add_get("/metrics", metrics)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> str:
        """Listen and return the address."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()
