"""Access to Milvus: credentials of a server, folder for the socket of the embedded one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class MilvusAccess:
    """Everything that a connection needs besides the address."""

    token: str = field(default="", repr=False)
    """Token of a server, or `user:password`."""
    ca: Path | None = None
    """Certificate authority of a server at an https:// address; those of the system if None."""
    socket_dir: Path | None = None
    """Private folder for the socket of the embedded Milvus; its own folder if None."""

    def tls(self) -> dict[str, str]:
        """Return the options of the client for an encrypted connection."""
        return {"server_pem_path": str(self.ca)} if self.ca is not None else {}
