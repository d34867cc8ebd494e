"""Cut a file of labelled rows in two by a seed, so that a figure of `trunkline bench routing` can be repeated.

    python bench/splits.py FILE --seed 1 --hold-out 0.1 --out DIR [--examples 10]

Every label (and the rows without one) gives up the same share. DIR/kept.jsonl has what is left, at most `--examples`
rows a label where that is asked for; DIR/held.jsonl what was held out.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path


def cut(rows: list[str], *, seed: int, share: float, examples: int | None) -> tuple[list[str], list[str]]:
    """Return what is kept and what is held out, both shuffled."""
    draw = random.Random(seed)  # noqa: S311 - a figure, not a secret
    of_label: defaultdict[str | None, list[str]] = defaultdict(list)
    for row in rows:
        fields = json.loads(row)
        of_label[fields.get("label", fields.get("target_agent"))].append(row)
    kept: list[str] = []
    held: list[str] = []
    for same in of_label.values():
        draw.shuffle(same)
        border = round(len(same) * share)
        held += same[:border]
        kept += same[border:][:examples]
    draw.shuffle(kept)
    draw.shuffle(held)
    return kept, held


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hold-out", type=float, default=0.1, metavar="SHARE")
    parser.add_argument("--examples", type=int, metavar="N", help="keep at most N rows a label")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    given = parser.parse_args()
    lines = [line for line in given.file.read_text(encoding="utf-8").splitlines() if line.strip()]
    given.out.mkdir(parents=True, exist_ok=True)
    for name, part in zip(
        ("kept", "held"),
        cut(lines, seed=given.seed, share=given.hold_out, examples=given.examples),
        strict=True,
    ):
        (given.out / f"{name}.jsonl").write_text("\n".join(part) + "\n", encoding="utf-8")
