"""Files and folders that no part of the suite reads."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Final

from trunkline_rag.core.articles import SUFFIXES

from trunkline_cli.fleet.core.findings import Finding
from trunkline_cli.fleet.core.folder import (
    AGENTS,
    CONTEXT,
    FLEET_FILE,
    FOLDERS,
    KNOWLEDGE,
    TOOLS,
    FleetFolder,
    FolderFile,
)

_DOCUMENTS: Final = ("readme", "license", "licence", "notice", "changelog")
"""Beginnings of names that belong beside a fleet."""

_READ: Final = {
    AGENTS: "agents are read from agents/<specialty>/<name>.toml",
    TOOLS: "tools are read from tools/<name>.toml",
    CONTEXT: "readers are read from context/<name>.toml",
    KNOWLEDGE: f"the suffix of an article must be one of: {', '.join(sorted(SUFFIXES))}",
}


def layout_findings(folder: FleetFolder) -> Iterator[Finding]:
    """Yield a warning for each file and folder that is not read, except hidden ones and documents beside the fleet."""
    for file in folder.files:
        if not (file.is_agent or file.is_tool or file.is_reader or file.is_article or _may_stay(file)):
            yield _ignored(file.path, _READ.get(file.parts[0], _hint(file.name, FLEET_FILE)))
    for name in folder.other_folders:
        if not name.startswith("."):
            yield _ignored(name, _hint(name, *FOLDERS))
    for path in folder.empty_folders:
        yield Finding(severity="warning", file=path, rule="empty-folder", message=f"no {_content(path)} in this folder")


def _may_stay(file: FolderFile) -> bool:
    is_document = len(file.parts) == 1 and file.name.lower().startswith(_DOCUMENTS)
    is_hidden = file.name.startswith(".") or file.is_in_hidden_folder
    return is_hidden or file.path == FLEET_FILE or is_document


def _ignored(path: str, hint: str) -> Finding:
    return Finding(severity="warning", file=path, rule="ignored-file", message=f"not read: {hint}")


def _hint(name: str, *known: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"a fleet has {FLEET_FILE}, {', '.join(FOLDERS)}"


def _content(path: str) -> str:
    return {AGENTS: "agent", TOOLS: "tool", CONTEXT: "reader", KNOWLEDGE: "article"}[path.split("/", maxsplit=1)[0]]
