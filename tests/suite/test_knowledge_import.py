"""`trunkline kb import` into a running suite: files that cannot be read are reported by name, all others imported."""

from __future__ import annotations

import json
import unicodedata
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


def documents_for(suite: Suite, question: str) -> set[str]:
    done = run_cli(suite, "kb", "search", question, "--json")
    return {hit["document"] for hit in json.loads(done.stdout)["hits"] if hit["score"] > 0.5}


def test_every_file_of_a_folder_is_imported_or_named(suite: Suite, tmp_path: Path) -> None:
    """Files of one name, several formats, folders named like files; an id that is given twice, and other formats."""
    for name, text in {
        "calls/index.md": "The cassowary desk answers calls until noon.",
        "mails/index.md": "The quetzal desk answers mails within a day.",
        "mails/index.html": "<title>Mails</title><p>The hoopoe desk answers <b>letters</b>.</p>",
        "notes/hours.txt": "Hours\n\nThe jabiru desk opens at nine.",
        "faq.csv": "question,answer\nWhere is the shoebill desk?,The shoebill desk is in the hall.\n",
        "first.md": "---\nid: kakapo-desk\n---\nThe kakapo desk is on the roof.",
        "second.md": "---\nid: kakapo-desk\n---\nThe takahe desk is in the yard.",
        "notes.md/inner.mdx": "import A from 'a'\n\n<Note>\n\nThe potoo desk is closed.\n\n</Note>",
        "logo.png": "not text",
        ".git/config.md": "The hidden dodo desk.",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = run_cli(suite, "kb", "import", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["7 documents, 7 passages", "100 % of the 5 visible words of the pages kept"]
    assert done.stderr.splitlines() == [
        "trunkline: second.md: the id 'kakapo-desk' is also that of first.md, which is kept",
        "trunkline: logo.png: skipped, the format .png is not read",
    ]
    for bird, document in {
        "cassowary": "calls--index",
        "quetzal": "mails--index",
        "hoopoe": "mails--index-html",
        "jabiru": "notes--hours",
        "kakapo": "kakapo-desk",
    }.items():
        assert document in documents_for(suite, f"{bird} desk")


def test_article_that_replaces_one_of_another_import_is_imported_with_a_warning(suite: Suite, tmp_path: Path) -> None:
    """The warning names the file and the other import."""
    done = []
    for folder, place in (("one", "hall"), ("two", "yard")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "axebill.md").write_text(f"The axebill desk is in the {place}.")
        done.append(run_cli(suite, "kb", "import", str(tmp_path / folder)))
    assert [command.returncode for command in done] == [0, 0]
    reason = f"warning: replaces article 'axebill' of another import: {tmp_path / 'one'}"
    assert done[1].stderr.splitlines() == [f"trunkline: axebill.md: {reason}"]


@pytest.mark.parametrize(
    ("name", "text", "question"),
    [
        ("ru", "Возврат посылки занимает четырнадцать дней.", "Сколько занимает возврат посылок?"),
        ("de", "Die Rücksendung eines Päckchens dauert zwei Wochen.", "Rucksendung Päckchen dauert"),
        ("zh", "包裹可以在十四天内退货。", "包裹退货"),
        ("ja", "荷物の返品は十四日以内です。", "荷物の返品"),
        ("ko", "소포 반품은 십사 일 안에 됩니다.", "소포 반품"),
        ("nfd", unicodedata.normalize("NFD", "Le dépannage de l'élévateur coûte vingt euros."), "dépannage élévateur"),
        ("ligature", "An e\ufb03cient con\ufb01guration of the re\u00adfrigerator.", "efficient refrigerator"),
    ],
)  # fmt: skip
def test_article_is_found_by_a_question_in_its_language(
    suite: Suite, tmp_path: Path, name: str, text: str, question: str
) -> None:
    """Any script, composed or not."""
    (tmp_path / f"tongue-{name}.md").write_text(text, encoding="utf-8")
    assert run_cli(suite, "kb", "import", str(tmp_path)).returncode == 0
    assert f"tongue-{name}" in documents_for(suite, question)
