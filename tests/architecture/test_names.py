"""One name, one meaning: no public class name is defined in two modules."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable

from tests.architecture.language import MEASURED, ROOT, python_files


def defined_twice(sources: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the public top-level classes that several modules define, with these modules."""
    modules: defaultdict[str, list[str]] = defaultdict(list)
    for module, source in sources:
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules[node.name].append(module)
    return {name: found for name, found in modules.items() if len(found) > 1}


def test_public_class_names_are_unique() -> None:
    """A reader can search for a class by its name alone."""
    files = python_files(MEASURED)
    found = defined_twice((str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")) for file in files)
    assert found == {}


def test_duplicate_class_name_is_found() -> None:
    """Private classes may share a name."""
    sources = [("a.py", "class Turn: ...\nclass _Row: ..."), ("b.py", "class Turn: ...\nclass _Row: ...")]
    assert defined_twice(sources) == {"Turn": ["a.py", "b.py"]}
