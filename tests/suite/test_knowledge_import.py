"""`trunkline kb import` into a running suite: files that cannot be read are reported by name, all others imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.parser_bombs import BOMBS
from tests.support.suite import Suite, run_cli

pytestmark = pytest.mark.processes


def test_unreadable_files_are_reported_and_the_others_imported(suite: Suite, tmp_path: Path) -> None:
    """A PDF without text and bytes that are not UTF-8 are one error line each; ten megabytes of HTML are imported."""
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


def test_bombs_in_a_folder_are_reported_and_the_other_files_are_imported(suite: Suite, tmp_path: Path) -> None:
    """The command names the bombs and files that are not readable, and exits with 1."""
    for bomb in BOMBS:
        (tmp_path / bomb.name).write_bytes(bomb.data or bomb.content.encode())
    (tmp_path / "latin.md").write_bytes("---\nid: latin\n---\nStraße".encode("latin-1"))
    (tmp_path / "marked.md").write_text("\ufeff---\nid: sousaphone\nvisibility: internal\n---\nA sousaphone is heavy.")
    (tmp_path / "open.md").write_text("---\nid: open\nvisibility: internal\n\nA header without an end.")
    done = run_cli(suite, "kb", "import", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.startswith("1 documents, 1 passages")
    named = {line.split(": ")[1] for line in done.stderr.splitlines() if line.startswith("trunkline: ")}
    assert named == {*(bomb.name for bomb in BOMBS), "latin.md", "open.md"}
    assert "sousaphone" not in run_cli(suite, "kb", "search", "How heavy is a sousaphone?").stdout


def test_repeated_import_stores_nothing_and_prune_removes_deleted_files(suite: Suite, tmp_path: Path) -> None:
    """An unchanged file is skipped; with --prune the article of a deleted file is no longer found."""
    for name in ("airship-ballast", "airship-envelope"):
        (tmp_path / f"{name}.md").write_text(f"The {name.replace('-', ' ')} of an airship is checked every week.")
    assert "2 documents, 2 passages" in run_cli(suite, "kb", "import", str(tmp_path)).stdout
    assert "2 documents, 0 passages, 2 unchanged" in run_cli(suite, "kb", "import", str(tmp_path)).stdout
    (tmp_path / "airship-ballast.md").unlink()
    assert "1 removed" in run_cli(suite, "kb", "import", "--prune", str(tmp_path)).stdout
    hits = json.loads(run_cli(suite, "kb", "search", "airship ballast", "--json").stdout)["hits"]
    assert "airship-ballast" not in {hit["document"] for hit in hits}
