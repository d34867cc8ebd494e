"""The metrics page of a node: the pages of all its processes, read when the page is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector
from trunkline_protocols.presence import SUPERVISOR

from trunkline_supervisor.adapters.metric_pages import MetricPage, merge_pages
from trunkline_supervisor.adapters.probes import HttpProbe
from trunkline_supervisor.ports import HealthPage


class NodeMetrics:
    """Serves the metrics of all processes of a node."""

    def __init__(self, http: HttpProbe, pages: Callable[[], Iterable[HealthPage]]) -> None:
        """`pages` returns those of every process."""
        self._http = http
        self._pages = pages

    async def serve(self, _: web.Request) -> web.Response:
        """Serve the page."""
        pages = await asyncio.gather(*(self._read(page) for page in self._pages()))
        own = MetricPage(SUPERVISOR, SUPERVISOR, generate_latest().decode())
        # Parsing and printing take 10 ms per process: too long for the loop that judges heartbeats.
        body = await asyncio.to_thread(_print, [own, *pages])
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _read(self, page: HealthPage) -> MetricPage:
        body = await self._http.get(f"{page.url}/metrics") if page.url else None
        return MetricPage(page.service, page.process, body.decode(errors="replace") if body is not None else None)


class _Families(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def _print(pages: Sequence[MetricPage]) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(merge_pages(pages)))
    return generate_latest(registry)
