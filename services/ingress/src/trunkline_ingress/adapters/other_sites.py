"""The sites of other regions: their addresses are settings, and each is probed over HTTP as its customers reach it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import aiohttp
import structlog

from trunkline_ingress.ports import Site

_log: Final = structlog.get_logger(__name__)

_PROBE_INTERVAL_S: Final = 3.0
_PROBE_TIMEOUT_S: Final = 5.0
_MAX_FAILURES: Final = 2
"""Failed probes in a row from which on a site counts as lost; one may be a restart of its edge."""


class OtherSites:
    """Sites by region, without the own one. A site counts as reachable until its probes fail."""

    def __init__(self, urls: Mapping[str, str], home: str) -> None:
        """`urls` are the addresses of the sites by region; `run` probes them."""
        self._urls = {region: url for region, url in urls.items() if region != home}
        self._failures: Counter[str] = Counter()

    def find(self, region: str) -> Site | None:
        """Return the site of a region, None for the own one and for an unknown one."""
        url = self._urls.get(region)
        if url is None:
            return None
        return Site(region, url, is_reachable=self._failures[region] < _MAX_FAILURES)

    async def run(self) -> None:
        """Probe all sites until cancelled."""
        if not self._urls:
            return
        timeout = aiohttp.ClientTimeout(total=_PROBE_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            while True:
                await asyncio.gather(*(self._probe(session, region) for region in self._urls))
                await asyncio.sleep(_PROBE_INTERVAL_S)

    async def _probe(self, session: aiohttp.ClientSession, region: str) -> None:
        """Request the readiness of a site; the reply's body is not read."""
        try:
            async with session.get(f"{self._urls[region]}/readyz", allow_redirects=False) as response:
                is_ready, reason = response.status == HTTPStatus.OK, f"status {response.status}"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            is_ready, reason = False, type(error).__name__
        failures = 0 if is_ready else self._failures[region] + 1
        if failures == _MAX_FAILURES:
            _log.warning("site.lost", region=region, reason=reason)
        elif failures == 0 and self._failures[region] >= _MAX_FAILURES:
            _log.info("site.returned", region=region)
        self._failures[region] = failures
