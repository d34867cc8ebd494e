"""Milvus Lite in this process, on a Unix socket in a private folder: it has no access control of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from milvus_lite.adapter.grpc.server import start_server_in_thread
from milvus_lite.exceptions import DataDirLockedError
from trunkline_chassis.socket_folder import remove_socket_folder, socket_folder

_SOCKET_NAME: Final = "milvus.sock"
_STOP_GRACE_S: Final = 2.0


class StoreInUseError(RuntimeError):
    """Another process has the folder open."""

    def __init__(self, folder: Path) -> None:
        """Name the folder and the remedy."""
        super().__init__(f"{folder} is open in another process: Milvus Lite serves a single process; stop it first")


class EmbeddedMilvus:
    """A server for the files of one folder."""

    def __init__(self, file: Path, socket_dir: Path | None) -> None:
        """Open the files and start; `socket_dir` defaults to the folder of the files."""
        self.folder = file.parent
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._preferred = socket_dir or self.folder
        self._sockets = socket_folder(self._preferred, longest_name=_SOCKET_NAME)
        try:
            # The package joins host and port to the address, here unix:PATH.
            self._server, self._files, _ = start_server_in_thread(str(file), host="unix", port=str(self._socket))
        except DataDirLockedError as error:
            raise StoreInUseError(self.folder) from error
        self._socket.chmod(0o600)

    @property
    def address(self) -> str:
        """The address for clients of this account."""
        return f"unix:{self._socket}"

    def close(self) -> None:
        """Stop and release the files, which another process may open then."""
        self._server.stop(grace=_STOP_GRACE_S).wait()
        self._files.close()
        self._socket.unlink(missing_ok=True)
        remove_socket_folder(self._sockets, self._preferred)

    @property
    def _socket(self) -> Path:
        return self._sockets / _SOCKET_NAME
