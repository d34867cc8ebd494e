"""The metrics page of a node: the pages of all its processes, read when the page is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector
from trunkline_protocols.presence import Presence

from trunkline_supervisor.adapters.metric_pages import MetricPage, merge_pages
from trunkline_supervisor.adapters.probes import HttpProbe


class NodeMetrics:
    """Serves the metrics of all processes of a node."""

    def __init__(self, http: HttpProbe, presences: Callable[[], Iterable[tuple[str, Presence | None]]]) -> None:
        """`presences` returns the name of every process and its last presence."""
        self._http = http
        self._presences = presences

    async def serve(self, _: web.Request) -> web.Response:
        """Serve the page."""
        pages = await asyncio.gather(*(self._page(name, presence) for name, presence in self._presences()))
        own = MetricPage("supervisor", "supervisor", generate_latest().decode())
        # Parsing and printing take 10 ms per process: too long for the loop that judges heartbeats.
        body = await asyncio.to_thread(_print, [own, *pages])
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _page(self, name: str, presence: Presence | None) -> MetricPage:
        if presence is None:
            return MetricPage("", name, None)
        body = await self._http.get(f"{presence.http_url}/metrics") if presence.http_url else None
        return MetricPage(presence.service, name, body.decode(errors="replace") if body is not None else None)


class _Families(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def _print(pages: Sequence[MetricPage]) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(merge_pages(pages)))
    return generate_latest(registry)
