"""Imports as an operator runs them, against a running suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes


def test_bad_files_are_told_and_the_rest_goes_in(suite: Suite, tmp_path: Path) -> None:
    """No text in a PDF, bytes that are no text, ten megabytes of HTML: one line each, or an article."""
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (tmp_path / "latin.md").write_bytes(b"caf\xe9")
    (tmp_path / "huge.html").write_text("<html><body>" + "<p>Zeppelin manual page.</p>\n" * 380_000 + "</body></html>")
    (tmp_path / "good.md").write_text("---\nid: zeppelin-mooring\n---\nA zeppelin is moored at its nose cone.")
    done = run_cli(suite, "kb", "import", str(tmp_path))
    assert done.returncode == 1
    assert "broken.pdf: not a readable PDF" in done.stderr
    assert "latin.md: " in done.stderr
    assert "Traceback" not in done.stderr
    hits = json.loads(run_cli(suite, "kb", "search", "zeppelin nose cone mooring", "--json").stdout)["hits"]
    assert "zeppelin-mooring" in {hit["document"] for hit in hits}


def test_folder_is_imported_once_and_what_is_gone_goes(suite: Suite, tmp_path: Path) -> None:
    """Run again, nothing is stored again; with --prune removed files leave the search."""
    for name in ("airship-ballast", "airship-envelope"):
        (tmp_path / f"{name}.md").write_text(f"The {name.replace('-', ' ')} of an airship is checked every week.")
    assert "2 documents, 2 passages" in run_cli(suite, "kb", "import", str(tmp_path)).stdout
    assert "2 documents, 0 passages, 2 unchanged" in run_cli(suite, "kb", "import", str(tmp_path)).stdout
    (tmp_path / "airship-ballast.md").unlink()
    assert "1 removed" in run_cli(suite, "kb", "import", "--prune", str(tmp_path)).stdout
    hits = json.loads(run_cli(suite, "kb", "search", "airship ballast", "--json").stdout)["hits"]
    assert "airship-ballast" not in {hit["document"] for hit in hits}
