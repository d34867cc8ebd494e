"""Articles of a fleet folder: those that an import refuses or loses, and those that agents do not find."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from trunkline_protocols.knowledge import ArticleFile
from trunkline_rag.core.articles import Document, file_ids, parse
from trunkline_rag.core.scope import Scope

from trunkline_cli.fleet.core.findings import Finding
from trunkline_cli.fleet.core.folder import KNOWLEDGE, FleetFolder, FolderFile

ARTICLE_FIELDS: Final = (
    "id",
    "title",
    "topics",
    "updated",
    *(field.name for field in dataclasses.fields(Scope)),
)
"""Fields of the front matter that an import reads."""

_HEADER: Final = re.compile(r"\A\ufeff?\s*^---[ \t]*\r?\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
_FIELD: Final = re.compile(r"([A-Za-z_][\w -]*):(?:\s|$)")
_REPLACEMENT: Final = "\ufffd"
_PDF: Final = ".pdf"
_TABLES: Final = (".jsonl", ".csv")


@dataclass(frozen=True, slots=True)
class ArticleEntry:
    """An article and its location; `line` is 0 except in JSON Lines and CSV."""

    file: FolderFile
    document: Document
    line: int = 0

    @property
    def is_markdown(self) -> bool:
        """Return whether the file has front matter of one article."""
        return self.file.name.lower().endswith((".md", ".markdown", ".mdx", ".txt"))

    @property
    def has_topics_field(self) -> bool:
        """Return whether the format has a field for topics; HTML and PDF have none."""
        return self.is_markdown or self.file.name.lower().endswith(_TABLES)

    def finding(self, key: str, reason: str, rule: str) -> Finding:
        """Return a warning at a field of the article."""
        line = self.line or (_line_of_field(self.file.text, key) if self.is_markdown else 0)
        return Finding(severity="warning", file=self.file.path, line=line, key=key, rule=rule, message=reason)


def read_articles(folder: FleetFolder) -> tuple[list[ArticleEntry], list[Finding]]:
    """Parse all articles; return the valid ones, and an error for each that an import refuses or replaces.

    A PDF is not opened: only its id, from the file name, is known.
    """
    entries: list[ArticleEntry] = []
    findings: list[Finding] = []
    places: dict[str, str] = {}
    ids = file_ids(_name(file) for file in folder.articles())
    for file in folder.articles():
        for entry in _parse(file, ids[_name(file)]):
            if isinstance(entry, Finding):
                findings.append(entry)
                continue
            entries.append(entry)
            earlier = places.get(entry.document.id)
            if earlier is None:
                places[entry.document.id] = f"{file.path}:{entry.line}" if entry.line else file.path
            else:
                reason = f"the id {entry.document.id!r} is also that of {earlier}, which is kept"
                findings.append(_error(file, reason, rule="repeated-article", key="id", line=entry.line))
    return entries, findings


def article_findings(entries: list[ArticleEntry], specialties: list[str]) -> Iterator[Finding]:
    """Yield the silent defects of articles."""
    for entry in entries:
        if entry.is_markdown:
            yield from _location(entry)
            yield from _unknown_fields(entry)
        if _REPLACEMENT in entry.document.text + entry.document.title:
            reason = "U+FFFD stands for characters that an earlier conversion has lost"
            yield entry.finding("", reason, "damaged-text")
        scope = entry.document.scope
        for name in scope.specialties:
            if name not in specialties:
                reason = f"no agent has the specialty {name!r}"
                yield entry.finding("specialties", reason, "unknown-specialty")
        if scope.valid_until and scope.valid_until < scope.valid_from:
            reason = f"the article is never valid: {scope.valid_from} is after {scope.valid_until}"
            yield entry.finding("valid_until", reason, "never-valid")


def _name(file: FolderFile) -> str:
    """Return the path of a file within the import."""
    return file.path.removeprefix(f"{KNOWLEDGE}/")


def _parse(file: FolderFile, id_: str) -> Iterator[ArticleEntry | Finding]:
    if file.problem:
        yield _error(file, file.problem, rule="unreadable")
        return
    if file.name.lower().endswith(_PDF):
        yield ArticleEntry(file, Document(id=id_, title=file.stem, text=""))
        return
    name = _name(file)
    for item in parse(ArticleFile(name=name, content=file.text, id=id_)):
        if isinstance(item, Document):
            yield ArticleEntry(file, item, _line(item.origin, name))
        else:
            key, line = _field_in(item.reason), _line(item.name, name)
            yield _error(file, item.reason, rule="invalid-article", key=key, line=line)


def _line(place: str, name: str) -> int:
    """Return the line in a place that is a name, or a name and a line; 0 without a line."""
    return int(place.removeprefix(name).lstrip(":") or 0)


def _field_in(reason: str) -> str:
    """Return the field that the reason of a refusal begins with, else an empty string."""
    word = reason.partition(" ")[0]
    word = "topics" if word == "topic" else word
    return word if word in ARTICLE_FIELDS else ""


def _location(entry: ArticleEntry) -> Iterator[Finding]:
    """Yield an id that is not the file name, and a first topic that is not the folder name."""
    file, document = entry.file, entry.document
    # A text that exceeds a row is stored in parts with ids of their own.
    is_part = document.id != file.stem and re.fullmatch(re.escape(file.stem[:58]) + r"-p\d+", document.id)
    has_own_id = "id" in _fields(file.text)
    if has_own_id and document.id != file.stem and not is_part:
        yield entry.finding("id", f"{document.id!r} does not match the file name {file.stem!r}", "misplaced-article")
    folder = file.parent if file.parent != KNOWLEDGE else ""
    if document.topics and document.topics[0] != folder:
        place = f"the folder name {folder!r}" if folder else "a folder: the file is directly in knowledge/"
        reason = f"the first topic {document.topics[0]!r} does not match {place}"
        yield entry.finding("topics", reason, "misplaced-article")


def _unknown_fields(entry: ArticleEntry) -> Iterator[Finding]:
    for name in _fields(entry.file.text):
        if name not in ARTICLE_FIELDS:
            reason = f"unknown field, which has no effect; fields are {', '.join(ARTICLE_FIELDS)}"
            yield entry.finding(name, reason, "unknown-field")


def _fields(text: str) -> dict[str, int]:
    """Return the fields at the top of the front matter, with their lines from 1."""
    header = _HEADER.match(text)
    if header is None:
        return {}
    first = text.count("\n", 0, header.start(1)) + 1
    matches = [_FIELD.match(line) for line in header[1].split("\n")]
    return {match[1].rstrip(): first + number for number, match in enumerate(matches) if match is not None}


def _line_of_field(text: str, key: str) -> int:
    return _fields(text).get(key, 0)


def _error(file: FolderFile, reason: str, *, rule: str, key: str = "", line: int = 0) -> Finding:
    line = line or _line_of_field(file.text, key)
    return Finding(severity="error", file=file.path, line=line, key=key, rule=rule, message=reason)
