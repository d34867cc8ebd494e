"""Reader of a fleet folder: every file that may belong to a fleet, with its text or the reason why it has none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trunkline_rag.core.articles import InvalidArticleError, decode_article

from trunkline_cli.errors import CommandError
from trunkline_cli.fleet.core.folder import FLEET_FILE, FOLDERS, FleetFolder, FolderFile

_UNUSABLE_STATUS: Final = 2
_MAX_FILE_BYTES: Final = 64 * 1024 * 1024
_PDF: Final = ".pdf"


def read_fleet_folder(folder: Path) -> FleetFolder:
    """Read a folder; raise `CommandError` with exit status 2 if it holds no fleet."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise CommandError(f"{folder}: {error.strerror or error}", exit_status=_UNUSABLE_STATUS) from error
    if not {FLEET_FILE, *FOLDERS} & {entry.name for entry in entries}:
        reason = f"not a fleet: neither {FLEET_FILE} nor a folder {', '.join(FOLDERS)}"
        raise CommandError(f"{folder}: {reason}", exit_status=_UNUSABLE_STATUS)
    files: list[FolderFile] = []
    others: list[str] = []
    empty: list[str] = []
    for entry in entries:
        if not entry.is_dir():
            files.append(_read_file(folder, entry))
        elif entry.name not in FOLDERS:
            others.append(entry.name)
        else:
            files.extend(_read_below(folder, entry, empty))
    return FleetFolder(tuple(files), tuple(others), tuple(empty))


def _read_below(folder: Path, top: Path, empty: list[str]) -> Iterator[FolderFile]:
    """Yield the files below one of the folders; folders without a file are added to `empty`."""
    # The loader follows links to folders of agents, a recursive listing does not.
    for path in sorted({*top.rglob("*"), *top.glob("*/*.toml")}):
        if not path.is_dir():
            yield _read_file(folder, path)
        elif not path.name.startswith(".") and not any(path.iterdir()):
            empty.append(path.relative_to(folder).as_posix())


def _read_file(folder: Path, path: Path) -> FolderFile:
    file = FolderFile(path.relative_to(folder).as_posix())
    is_read = file.is_agent or file.is_tool or file.is_reader or file.path == FLEET_FILE
    if not is_read and (not file.is_article or path.suffix.lower() == _PDF):
        return file
    try:
        if not path.is_file():
            return FolderFile(file.path, problem="not a regular file")
        if path.stat().st_size > _MAX_FILE_BYTES:
            return FolderFile(file.path, problem=f"over {_MAX_FILE_BYTES // 1024**2} MiB")
        data = path.read_bytes()
        text = data.decode("utf-8-sig") if is_read else decode_article(path.name, data)
        return FolderFile(file.path, text)
    except UnicodeDecodeError:
        return FolderFile(file.path, problem="not UTF-8")
    except InvalidArticleError as error:
        return FolderFile(file.path, problem=str(error))
    except OSError as error:
        return FolderFile(file.path, problem=str(error.strerror or error))
