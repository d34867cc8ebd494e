"""Share of the words of HTML pages that an import keeps, and the cost of reading them.

    python -m bench.pages FOLDER [--lowest 5]

The words are counted by a parser of its own, which shares no code with the import: all text in `main`, in an element
with the role `main`, else in `body`, less navigation, headers and footers (elements, and the roles that stand for
them), scripts and styles. A header or footer inside of an article counts: it is not that of the page.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import time
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

from trunkline_protocols.knowledge import ImportProblem
from trunkline_rag.adapters.knowledge_folder import list_files, read_file
from trunkline_rag.adapters.parser.process import ParserProcess
from trunkline_rag.core.articles import with_ids
from trunkline_rag.core.articles.encoding import decode_page
from trunkline_rag.core.articles.limits import ParseLimits

_WORD: Final = re.compile(r"\w+")
_MARKUP: Final = re.compile(r"[*`~\\]|\]\([^()\s]*\)")
_LEFT_OUT: Final = {"script", "style", "noscript", "template", "nav", "header", "footer", "head", "iframe", "object"}
_ROLES_LEFT_OUT: Final = {"navigation", "banner", "contentinfo"}
_VOID: Final = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_INSIDE_WORDS: Final = {
    "a", "abbr", "b", "big", "cite", "code", "dfn", "em", "font", "i", "kbd", "mark", "q", "s", "samp", "small",
    "span", "strong", "sub", "sup", "tt", "u", "var", "wbr",
}  # fmt: skip


class _Words(HTMLParser):
    """Collects the text of the main element and that of the body; `role_text` is left out by its role alone."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.main: list[str] = []
        self.body: list[str] = []
        self.role_text: list[str] = []
        self._open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _INSIDE_WORDS:
            self._add(" ")
        if tag in _VOID:
            return
        role = dict(attrs).get("role") or ""
        is_main = tag == "main" or role == "main"
        is_left_out = tag in _LEFT_OUT and not (tag in {"header", "footer"} and self._is_in_article())
        kind = "main" if is_main else "out" if is_left_out else "role" if role in _ROLES_LEFT_OUT else ""
        self._open.append((tag, kind))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _INSIDE_WORDS:
            self._add(" ")
        tags = [opened for opened, _ in self._open]
        if tag in tags:
            del self._open[len(tags) - 1 - tags[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        self._add(data)

    def _is_in_article(self) -> bool:
        return any(tag in {"article", "section", "aside", "main"} for tag, _ in self._open)

    def _add(self, text: str) -> None:
        kinds = {kind for _, kind in self._open}
        if "out" in kinds:
            return
        if "role" in kinds:
            self.role_text.append(text)
            return
        self.body.append(text)
        if "main" in kinds:
            self.main.append(text)


def _count(text: str) -> Counter[str]:
    return Counter(_WORD.findall(_MARKUP.sub("", text)))


def measure(folder: Path, lowest: int) -> dict[str, Any]:
    """Read all pages of a folder as an import does, and compare their words with those of the files."""
    limits = ParseLimits()
    paths = [path for path in list_files(folder) if path.suffix.lower() in {".html", ".htm"}]
    read = [read_file(path, path.relative_to(folder), limits) for path in paths]
    files = {file.name: file for file in with_ids([file for file in read if not isinstance(file, ImportProblem)])}
    parser = ParserProcess(limits)
    texts: dict[str, list[str]] = {name: [] for name in files}
    problems: dict[str, str] = {}
    started = time.perf_counter()
    try:
        for item in parser.parse(files.values()):
            if isinstance(item, ImportProblem):
                problems[item.name] = item.reason
            else:
                texts[item.origin].append(item.text)
    finally:
        parser.close()
    elapsed_s = time.perf_counter() - started
    # The parser process has ended: its peak is that of the largest child.
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    visible: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    by_role = 0
    for name, parts in texts.items():
        words = _Words()
        words.feed(decode_page(files[name].data))
        by_role += _count("".join(words.role_text)).total()
        expected = _count("".join(words.main or words.body))
        visible[name] = expected.total()
        kept[name] = (expected & _count("\n".join(parts))).total()
    shares = {name: kept[name] / count for name, count in visible.items() if count}
    size = sum(len(file.data) for file in files.values())
    return {
        "pages": len(files),
        "refused": problems,
        "words": visible.total(),
        "kept": round(kept.total() / visible.total(), 5) if visible.total() else None,
        "pages_below_99": sum(share < 0.99 for share in shares.values()),  # noqa: PLR2004 - the figure's name
        "lowest": {name: round(shares[name], 4) for name in sorted(shares, key=lambda name: shares[name])[:lowest]},
        "words_left_out_by_role": by_role,
        "mib": round(size / 2**20, 1),
        "elapsed_s": round(elapsed_s, 2),
        "cpu_ms_per_page": round((usage.ru_utime + usage.ru_stime) * 1000 / max(len(files), 1), 1),
        "parser_peak_mib": usage.ru_maxrss >> 10,
    }


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--lowest", type=int, default=5, metavar="N", help="show the N pages with the lowest share")
    options = arguments.parse_args()
    print(json.dumps(measure(options.folder, options.lowest), indent=2))
