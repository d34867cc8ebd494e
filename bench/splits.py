"""Reproducible split of a file of labelled rows in two, for `trunkline bench routing`.

    python -m bench.splits FILE --seed 1 --hold-out 0.1 --out DIR [--examples 10]

The same share of every label, and of the rows without one, is held out into DIR/held.jsonl. The others, with
`--examples` at most this number per label, are in DIR/kept.jsonl.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path


def split(rows: list[str], *, seed: int, share: float, examples: int | None) -> tuple[list[str], list[str]]:
    """Return the kept and the held-out rows, both shuffled."""
    rng = random.Random(seed)  # noqa: S311 - a figure, not a secret
    rows_by_label: defaultdict[str | None, list[str]] = defaultdict(list)
    for row in rows:
        fields = json.loads(row)
        rows_by_label[fields.get("label", fields.get("target_agent"))].append(row)
    kept: list[str] = []
    held: list[str] = []
    for labelled in rows_by_label.values():
        rng.shuffle(labelled)
        border = round(len(labelled) * share)
        held += labelled[:border]
        kept += labelled[border:][:examples]
    rng.shuffle(kept)
    rng.shuffle(held)
    return kept, held


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hold-out", type=float, default=0.1, metavar="SHARE")
    parser.add_argument("--examples", type=int, metavar="N", help="keep at most N rows per label")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    lines = [line for line in options.file.read_text(encoding="utf-8").splitlines() if line.strip()]
    options.out.mkdir(parents=True, exist_ok=True)
    for name, part in zip(
        ("kept", "held"),
        split(lines, seed=options.seed, share=options.hold_out, examples=options.examples),
        strict=True,
    ):
        (options.out / f"{name}.jsonl").write_text("\n".join(part) + "\n", encoding="utf-8")
