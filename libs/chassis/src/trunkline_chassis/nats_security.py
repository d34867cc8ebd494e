"""Credentials and TLS of a NATS connection."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
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
        for name, file in (("nkeys_seed", self.nkey), ("user_credentials", self.creds)):
            if file is not None:
                options[name] = str(_readable(file))
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
