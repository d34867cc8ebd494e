"""How far the archive is behind the streams: age of each record when a reader first sees it in PostgreSQL.

    python -m bench.lag DSN [--seconds N]

DSN is the archive of a suite under load, such as that of `trunkline bench load`; both are on one machine, whose clock
dates the records. Prints JSON: `records`, `lag_ms` (p50, p95, p99, max) of inbox and log.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import asyncpg

_POLL_S = 0.01
_NEW = """
SELECT leaf, extract(epoch FROM at)::float8 AS at, stream IN ('INBOX', 'CONVERSATIONS') AS counts
FROM messages WHERE leaf > $1
"""


async def _lags_ms(dsn: str, seconds: float) -> list[float]:
    connection = await asyncpg.connect(dsn)
    try:
        last = await connection.fetchval("SELECT coalesce(max(leaf), -1) FROM messages")
        lags: list[float] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rows = await connection.fetch(_NEW, last)
            now = time.time()
            last = max((row["leaf"] for row in rows), default=last)
            lags += [(now - row["at"]) * 1_000 for row in rows if row["counts"]]
            await asyncio.sleep(_POLL_S)
        return sorted(lags)
    finally:
        await connection.close()


def main() -> None:
    """Watch and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dsn")
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    lags = asyncio.run(_lags_ms(given.dsn, given.seconds))
    if not lags:
        parser.error("no record was stored meanwhile: is the suite under load?")
    quantiles = {f"p{q}": round(lags[int(len(lags) * q / 100)], 1) for q in (50, 95, 99)}
    print(json.dumps({"records": len(lags), "lag_ms": {**quantiles, "max": round(lags[-1], 1)}}, indent=2))


if __name__ == "__main__":
    main()
