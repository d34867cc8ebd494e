"""Expiry of certificates."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from trunkline_chassis.certificates import CertificateMonitor, expiry

from tests.support.certificates import Certificates, issue

DAY_S = 86_400


def published(certificate: str) -> float | None:
    """Return the published time of expiry."""
    return REGISTRY.get_sample_value("trunkline_certificate_expiry_timestamp_seconds", {"certificate": certificate})


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Certificates that expire in a day."""
    return issue(tmp_path, "localhost")


def test_expiry_is_read_from_file_and_connection(certificates: Certificates) -> None:
    """The one is PEM, the other DER."""
    pem = certificates.certificate.read_bytes()
    assert 0 < expiry(pem) - time.time() <= DAY_S
    assert expiry(ssl.PEM_cert_to_DER_cert(pem.decode())) == expiry(pem)


def test_chain_expires_with_its_first_certificate(certificates: Certificates, tmp_path: Path) -> None:
    """The order does not matter."""
    later = issue(tmp_path / "later", "localhost").certificate.read_bytes()
    first = certificates.certificate.read_bytes()
    assert expiry(first + later) == expiry(later + first) == min(expiry(first), expiry(later))


def test_each_certificate_is_published_and_a_renewed_one_too(certificates: Certificates, tmp_path: Path) -> None:
    """A file that is damaged for a moment keeps its figure."""
    served = ssl.PEM_cert_to_DER_cert(certificates.certificate.read_text())
    file = tmp_path / "client.pem"
    file.write_bytes(certificates.certificate.read_bytes())
    monitor = CertificateMonitor({"client": file, "absent": None}, lambda: served)
    monitor.check()
    assert published("client") == published("server") == expiry(served)
    assert published("absent") is None
    file.write_bytes(b"-----BEGIN")
    monitor.check()
    assert published("client") == expiry(served)
