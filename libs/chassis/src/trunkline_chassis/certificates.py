"""Expiry of the TLS certificates that a process uses for NATS: those of its files, and the one of its server.

Measured on the connection too, since a server that was not reloaded keeps its old certificate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import Gauge

_EXPIRY: Final = Gauge(
    "trunkline_certificate_expiry_timestamp_seconds",
    "Unix time at which a TLS certificate of the connection to NATS expires (server, client, authority)",
    ["certificate"],
)
_INTERVAL_S: Final = 60.0


def expiry(certificate: bytes) -> float:
    """Return the Unix time at which a certificate expires, of several the earliest; raises `ValueError` if none is one.

    `certificate` is DER, or PEM with any number of certificates.
    """
    # Imported here, since the library takes memory that a connection without TLS does not need.
    from cryptography import x509  # noqa: PLC0415

    found = (
        x509.load_pem_x509_certificates(certificate)
        if b"-----BEGIN" in certificate
        else [x509.load_der_x509_certificate(certificate)]
    )
    return min(each.not_valid_after_utc.timestamp() for each in found)


class CertificateMonitor:
    """Publishes when certificates expire."""

    def __init__(self, files: dict[str, Path | None], served: Callable[[], bytes | None]) -> None:
        """`files` are PEM by name; `served` returns the server's certificate as DER, None without TLS."""
        self._files = files
        self._served = served

    async def run(self) -> None:
        """Read the certificates once a minute until cancelled; they are renewed while the process runs."""
        while True:
            self.check()
            await asyncio.sleep(_INTERVAL_S)

    def check(self) -> None:
        """Read the certificates; the figure of one that cannot be read stays."""
        for name, file in self._files.items():
            if file is not None:
                _publish(name, file.read_bytes)
        served = self._served()
        if served is not None:
            _publish("server", lambda: served)


def _publish(name: str, read: Callable[[], bytes]) -> None:
    try:
        expires_at = expiry(read())
    except (OSError, ValueError):
        return  # a file that is being replaced, or that its account may read at the start only
    _EXPIRY.labels(name).set(expires_at)
