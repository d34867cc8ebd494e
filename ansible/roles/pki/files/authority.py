"""Draw a private certificate authority and the leaf certificates of hosts into a folder, as far as they are missing.

    python authority.py FOLDER < request.json

The request is `{"leaves": {"<host>": {"<service>": ["name or address", ...]}}, "days": 825, "renew_within_days": 30}`.
Files: `ca.pem` (one or two authorities, the one that signs first), `ca.key`, and `<host>/<service>.pem` and `.key`, the
keys with mode 0600. A leaf is drawn again if its names change, if it ends soon, or if the authority has been replaced.
Prints a JSON object with the list `drawn`.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CA_DAYS: Final = 3650
_BACKDATED: Final = dt.timedelta(hours=1)
"""Clocks of hosts differ."""


def main(folder: Path, request: dict[str, Any], now: dt.datetime) -> list[str]:
    """Draw missing and outdated files; return their names below `folder`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    drawn = []
    if not (folder / "ca.key").exists():
        _draw_authority(folder, now)
        drawn.append("ca.pem")
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    authority_key = _load_key(folder / "ca.key")
    for host, services in request["leaves"].items():
        (folder / host).mkdir(mode=0o700, exist_ok=True)
        for service, names in services.items():
            file = folder / host / f"{service}.pem"
            renew_at = now + dt.timedelta(days=request["renew_within_days"])
            if _is_current(file, authority, names, renew_at):
                continue
            key = ec.generate_private_key(ec.SECP256R1())
            _write_key(file.with_suffix(".key"), key)
            leaf = _sign(f"{service}.{host}", names, key, authority, authority_key, _period(now, request["days"]))
            file.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
            drawn.append(f"{host}/{service}.pem")
    return drawn


def _draw_authority(folder: Path, now: dt.datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Trunkline private authority")])
    start, end = _period(now, _CA_DAYS)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_key_usage(certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_key(folder / "ca.key", key)
    # A former authority stays trusted until its last leaf has been replaced on every host.
    former = (folder / "ca.pem").read_bytes() if (folder / "ca.pem").exists() else b""
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + former)


def _sign(
    common_name: str,
    names: list[str],
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    period: tuple[dt.datetime, dt.datetime],
) -> x509.Certificate:
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(period[0])
        .not_valid_after(period[1])
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _is_current(file: Path, authority: x509.Certificate, names: list[str], renew_at: dt.datetime) -> bool:
    if not file.exists() or not file.with_suffix(".key").exists():
        return False
    leaf = x509.load_pem_x509_certificate(file.read_bytes())
    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError):
        return False
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(found) == {_general_name(name) for name in names} and leaf.not_valid_after_utc > renew_at


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _period(now: dt.datetime, days: int) -> tuple[dt.datetime, dt.datetime]:
    return now - _BACKDATED, now + dt.timedelta(days=days)


def _load_key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{file} has no key of an elliptic curve")
    return key


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(text)


if __name__ == "__main__":
    print(json.dumps({"drawn": main(Path(sys.argv[1]), json.load(sys.stdin), dt.datetime.now(dt.UTC))}))
