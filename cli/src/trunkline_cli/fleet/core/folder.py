"""Content of a fleet folder as it was read: paths and texts, not yet interpreted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from trunkline_rag.core.articles import SUFFIXES

FLEET_FILE: Final = "fleet.toml"
AGENTS: Final = "agents"
TOOLS: Final = "tools"
CONTEXT: Final = "context"
KNOWLEDGE: Final = "knowledge"
FOLDERS: Final = (AGENTS, TOOLS, CONTEXT, KNOWLEDGE)

_AGENT_DEPTH: Final = 3
_TOOL_DEPTH: Final = 2
_READER_DEPTH: Final = 2


@dataclass(frozen=True, slots=True)
class FolderFile:
    """A file; `path` is relative to the folder with `/`. `problem` is the reason why `text` could not be read."""

    path: str
    text: str = ""
    problem: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the folders and the name."""
        return PurePosixPath(self.path).parts

    @property
    def name(self) -> str:
        """Return the name with its suffix."""
        return self.parts[-1]

    @property
    def stem(self) -> str:
        """Return the name without its suffix."""
        return PurePosixPath(self.path).stem

    @property
    def parent(self) -> str:
        """Return the name of the folder that holds the file; empty at the top."""
        return PurePosixPath(self.path).parent.name

    @property
    def is_agent(self) -> bool:
        """Return whether the file is loaded as an agent."""
        return self.parts[0] == AGENTS and len(self.parts) == _AGENT_DEPTH and self.name.endswith(".toml")

    @property
    def is_tool(self) -> bool:
        """Return whether the file is loaded as a tool."""
        return self.parts[0] == TOOLS and len(self.parts) == _TOOL_DEPTH and self.name.endswith(".toml")

    @property
    def is_reader(self) -> bool:
        """Return whether the file is loaded as a reader of facts."""
        return self.parts[0] == CONTEXT and len(self.parts) == _READER_DEPTH and self.name.endswith(".toml")

    @property
    def is_article(self) -> bool:
        """Return whether the file is imported as an article."""
        is_below = self.parts[0] == KNOWLEDGE and len(self.parts) > 1 and not self.is_in_hidden_folder
        return is_below and PurePosixPath(self.path).suffix.lower() in SUFFIXES

    @property
    def is_in_hidden_folder(self) -> bool:
        """Return whether a folder above is hidden: volumes of containers keep a second copy of each file in one."""
        return any(part.startswith(".") for part in self.parts[:-1])


@dataclass(frozen=True, slots=True)
class FleetFolder:
    """All files below `agents`, `tools`, `context` and `knowledge`, and the entries beside them, sorted by path."""

    files: tuple[FolderFile, ...]
    other_folders: tuple[str, ...] = ()
    """Folders at the top that are none of these; their content is not listed."""
    empty_folders: tuple[str, ...] = ()
    """Folders without a file below them."""

    def agents(self) -> Iterator[FolderFile]:
        """Yield the files of agents."""
        return (file for file in self.files if file.is_agent)

    def tools(self) -> Iterator[FolderFile]:
        """Yield the files of tools."""
        return (file for file in self.files if file.is_tool)

    def readers(self) -> Iterator[FolderFile]:
        """Yield the files of readers."""
        return (file for file in self.files if file.is_reader)

    def articles(self) -> Iterator[FolderFile]:
        """Yield the files of articles."""
        return (file for file in self.files if file.is_article)

    @property
    def fleet_file(self) -> FolderFile | None:
        """Return `fleet.toml`, None if it is missing."""
        return next((file for file in self.files if file.path == FLEET_FILE), None)
