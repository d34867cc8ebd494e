"""`trunkline bench routing` on synthetic rows; the public data sets are used by the bench, not by the tests."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.suite import trunkline

ROWS = [
    *[{"text": f"refund my payment {word}", "label": "refunds"} for word in ("now", "please", "today", "again")],
    *[{"text": f"router offline {word}", "label": "wifi"} for word in ("now", "please", "today", "again")],
]
KEYS = {"accuracy", "macro_f1", "in_scope_accuracy", "oos_recall", "false_reject_rate", "fit_s", "p50_ms", "p95_ms"}


def bench(
    folder: Path, train: Sequence[Mapping[str, object]], test: Sequence[Mapping[str, object]]
) -> subprocess.CompletedProcess[str]:
    for name, rows in (("train", train), ("test", test)):
        (folder / name).write_text("\n".join(json.dumps(row) for row in rows))
    return subprocess.run(
        [trunkline(), "bench", "routing", "--train", str(folder / "train"), "--test", str(folder / "test")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_rows_in_and_out_of_scope_are_classified(tmp_path: Path) -> None:
    """A rejection is correct for a row without a label, and only for such a row."""
    test: list[Mapping[str, object]] = [
        {"text": "my payment, refund", "label": "refunds"},
        {"text": "vxq jkzw", "label": None},
    ]
    done = bench(tmp_path, ROWS, test)
    figures = json.loads(done.stdout)
    assert figures.keys() >= KEYS
    assert (figures["in_scope_accuracy"], figures["oos_recall"], figures["accuracy"]) == (1.0, 1.0, 1.0)


def test_bad_row_is_named_by_file_and_line(tmp_path: Path) -> None:
    """The error is one line on stderr, without a traceback."""
    done = bench(tmp_path, ROWS, [{"text": "fine", "label": "wifi"}, {"text": 7}])
    assert done.returncode == 1
    assert "test:2:" in done.stderr
    assert "Traceback" not in done.stderr
