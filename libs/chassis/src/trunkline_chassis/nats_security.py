"""Credentials and TLS of a NATS connection."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from trunkline_chassis.errors import BusConfigError

_TLS_SCHEMES: Final = frozenset({"tls", "wss"})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NatsSecurity:
    """Identity of a client, and the authority it trusts; at most one identity is given.

    `user` and `password` may also stand in the URL, percent-encoded. Files: `nkey` (a seed), `creds` (JWT and seed),
    `ca`, `cert` and `key` (PEM).
    """

    user: str = ""
    password: str = ""
    nkey: Path | None = None
    creds: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def options(self, url: str) -> dict[str, Any]:
        """Return the connection options for servers separated by commas; raise `BusConfigError` if they conflict."""
        servers, user, password = _split(url)
        options: dict[str, Any] = {"servers": servers}
        identities = [bool(self.user or user), self.nkey is not None, self.creds is not None]
        if sum(identities) > 1:
            raise BusConfigError("NATS: set one of user and password, nkey, creds")
        if self.user or user:
            options |= {"user": self.user or user, "password": self.password or password}
        if self.nkey is not None:
            options["nkeys_seed"] = _checked_nkey(self.nkey)
        if self.creds is not None:
            options["user_credentials"] = _checked_credentials(self.creds)
        if any(urlsplit(server).scheme in _TLS_SCHEMES for server in servers) or self.ca or self.cert:
            options["tls"] = self._tls()
        return options

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=str(_readable(self.ca)) if self.ca is not None else None)
            if self.cert is not None:
                context.load_cert_chain(_readable(self.cert), _readable(self.key) if self.key is not None else None)
        except (ssl.SSLError, OSError) as error:
            raise BusConfigError(f"NATS: cannot load the TLS certificate or key: {error}") from error
        return context


def _split(url: str) -> tuple[list[str], str, str]:
    """Return the servers without credentials, and user and password of the first one that has them, decoded."""
    servers, user, password = [], "", ""
    for server in (part.strip() for part in url.split(",")):
        parts = urlsplit(server if "://" in server else f"nats://{server}")
        if parts.hostname is None:
            raise BusConfigError(f"NATS: {server.rpartition('@')[2]!r} is not an address such as nats://host:4222")
        if parts.username and not user:
            user, password = unquote(parts.username), unquote(parts.password or "")
        servers.append(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))
    return servers, user, password


def _readable(file: Path) -> Path:
    try:
        file.open("rb").close()
    except OSError as error:
        raise BusConfigError(f"NATS: cannot read {file}: {error.strerror}") from error
    return file


def _checked_nkey(file: Path) -> str:
    _check_seed(file, _readable(file).read_bytes())
    return str(file)


def _checked_credentials(file: Path) -> str:
    """Return the name of a file with JWT and seed: nats-py reads one without a JWT without end."""
    lines = _readable(file).read_bytes().splitlines(keepends=True)
    jwt, seed = (
        next((after for before, after in pairwise(lines) if marker in before), b"")[:-1]
        for marker in (b"BEGIN NATS USER JWT", b"BEGIN USER NKEY SEED")
    )
    if not jwt:
        raise BusConfigError(f"NATS: {file} has no user JWT")
    _check_seed(file, seed)
    return str(file)


def _check_seed(file: Path, seed: bytes) -> None:
    # Imported here, since its library takes memory that other identities do not need.
    import nkeys  # noqa: PLC0415

    try:
        nkeys.from_seed(bytearray(seed.strip())).wipe()
    except Exception as error:  # the library raises its own errors and those of base32 and of the curve
        raise BusConfigError(f"NATS: {file} has no valid NKEY seed") from error
