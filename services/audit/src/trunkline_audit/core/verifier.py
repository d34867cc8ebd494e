"""Checks an export or an archive of Trunkline's audit trail, without Trunkline: one file, for Python 3.9 or later.

    python verify.py EXPORT|MANIFEST [--heads FILE] [--key HEX]

EXPORT comes from `trunkline audit export`, FILE with the heads that a witness kept from `trunkline audit heads`; both
are JSON, one object to a line. MANIFEST is the manifest.json of an archive, with its objects beside it. HEX is the
public key in which you trust. Signatures need the package `cryptography`, archives Python 3.14 or `backports.zstd`;
everything else is the standard library's. Exit status 0: no fault; 1: faults, one to a line; 2: unusable input.

What is checked (the tree is that of RFC 6962, section 2.1, with SHA-256):
- A record's leaf is the hash of its fields and of the SHA-256 of its bytes. The root above all leaves of a whole export
  must be that of each head at the head's size: a changed, removed, added or moved record changes every later root.
- A head's signature is that of the key. A head of the witness must be in the export, with the same root; if it has more
  records than the export, records were removed from the end.
- In an export of single records, each one's proof leads to the root of a head. A proof of consistency leads from the
  head of fewer records to the one of more.
- An exported record that is archived has a SHA-256 instead of bytes; in an archive each has bytes and a proof.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import importlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FORMAT = 1
MAX_FAULTS = 100
HEAD_FIELDS = {"log", "size", "root", "at", "key", "signature"}
EMPTY_ROOT = hashlib.sha256(b"").digest()


def sha256(data: bytes) -> bytes:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(data).digest()


def raw_of(record: dict[str, Any]) -> bytes:
    """Return the bytes of a record."""
    return base64.b64decode(record["raw"], validate=True)


def leaf_hash(record: dict[str, Any]) -> bytes:
    """Return the hash of a record's leaf."""
    digest = sha256(raw_of(record)).hex() if "raw" in record else record["sha256"]
    fields = (
        "trunkline record 1",
        record["stream"],
        str(record["sequence"]),
        str(record["at"]),
        str(record["received_at"]),
        record["subject"],
        digest,
    )
    return sha256(b"\x00" + "\n".join(fields).encode())


def signed_text(head: dict[str, Any]) -> bytes:
    """Return the bytes that the signature of a head covers."""
    root = base64.b64encode(bytes.fromhex(head["root"])).decode()
    return f"trunkline head 1\n{head['log']}\n{head['size']}\n{root}\n{head['at']}\n".encode()


class Frontier:
    """The perfect subtrees of a growing tree, the largest first."""

    def __init__(self) -> None:
        """Start without leaves."""
        self.size = 0
        self._hashes: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Append the hash of a leaf."""
        self.size += 1
        size = self.size
        while size % 2 == 0:
            leaf = sha256(b"\x01" + self._hashes.pop() + leaf)
            size //= 2
        self._hashes.append(leaf)

    def root(self) -> bytes:
        """Return the hash of the whole tree."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            root = sha256(b"\x01" + left + root)
        return root


def root_by_proof(leaf: bytes, number: int, size: int, proof: list[bytes]) -> bytes | None:
    """Return the root to which a proof leads (RFC 9162, section 2.1.3.2), None if its length is wrong."""
    last = size - 1
    root = leaf
    for sibling in proof:
        if last == 0:
            return None
        if number % 2 or number == last:
            root = sha256(b"\x01" + sibling + root)
            while number % 2 == 0 and number:
                number //= 2
                last //= 2
        else:
            root = sha256(b"\x01" + root + sibling)
        number //= 2
        last //= 2
    return root if last == 0 else None


def roots_by_proof(old: int, new: int, old_root: bytes, proof: list[bytes]) -> tuple[bytes, bytes] | None:
    """Return the old and the new root to which a proof of consistency leads (RFC 9162, section 2.1.4.2)."""
    if old == new:
        return None if proof else (old_root, old_root)
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    number, last = old - 1, new - 1
    while number % 2:
        number //= 2
        last //= 2
    if not path:
        return None
    old_found = new_found = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if number % 2 or number == last:
            old_found = sha256(b"\x01" + sibling + old_found)
            new_found = sha256(b"\x01" + sibling + new_found)
            while number % 2 == 0 and number:
                number //= 2
                last //= 2
        else:
            new_found = sha256(b"\x01" + new_found + sibling)
        number //= 2
        last //= 2
    return (old_found, new_found) if last == 0 else None


class Verification:
    """Checks an export, line by line."""

    def __init__(self, witnessed: Iterable[dict[str, Any]] = (), trusted_key: str = "") -> None:
        """`witnessed` are the heads of a witness, `trusted_key` is a public key in hex; by default the export's own."""
        self.faults: list[str] = []
        self.records = 0
        self.heads = 0
        self.unsigned = 0
        """Heads without a signature, in a log that has no key: only a witness vouches for them."""
        self.uncovered = 0
        """Records after the last head, which no head vouches for yet."""
        self.archived = 0
        """Records without their bytes, which are in an archive."""
        self._witnessed = list(witnessed)
        self._keys = {_key_name(trusted_key): trusted_key} if trusted_key else {}
        self._trusts_export = not trusted_key
        self._is_whole = True
        self._heads: dict[int, str] = {}
        """Roots by size; of a whole export only those that its records have not reached yet."""
        self._largest_head = 0
        self._tree = Frontier()
        self._is_broken = False
        self._agreed = 0
        """Size of the last head whose root is that of the records."""

    def check(self, entry: dict[str, Any]) -> None:
        """Take the next line of the export."""
        kind = entry["kind"]
        if kind == "log":
            self._start(entry)
        elif kind == "head":
            self._take_head(entry)
        elif kind == "consistency":
            self._check_consistency(entry)
        elif kind == "record":
            self.records += 1
            self._take_record(entry)
        else:
            raise ValueError(f"unknown kind {kind!r}")

    @property
    def summary(self) -> str:
        """Return the result in one line."""
        state = "no fault" if not self.faults else f"{len(self.faults)} faults"
        unsigned = f", {self.unsigned} of the heads are not signed" if self.unsigned else ""
        archived = f", {self.archived} archived" if self.archived else ""
        return f"{self.records} records, {self.heads} heads, {self.uncovered} uncovered{archived}: {state}{unsigned}"

    def start_archive(self, manifest: dict[str, Any]) -> None:
        """Take the manifest of an archive."""
        self._start({"format": manifest["format"], "whole": False, "keys": manifest["keys"]})
        self._take_head(manifest["head"])

    def check_object(self, described: dict[str, Any], packed: bytes) -> None:
        """Check an object of an archive against its description in the manifest."""
        name = described["name"]
        if sha256(packed).hex() != described["sha256"]:
            self.add_fault(f"object {name} is not the one of the manifest")
            return
        entries = read_lines(decompress(packed).decode().splitlines(), name)
        records = [entry for entry in entries if entry["kind"] == "record" and "raw" in entry]
        for record in records:
            self.check(record)
        leaves = [record["leaf"] for record in records]
        if len(leaves) != described["records"] or [min(leaves), max(leaves)] != described["leaves"]:
            self.add_fault(f"object {name} does not have the records of the manifest")

    def finish(self) -> None:
        """Compare what can be compared only at the end."""
        size, head = self._tree.size, min(self._heads, default=0)
        if self._is_whole and head > size and not self._is_broken:
            self.add_fault(f"records {size} to {head - 1} are missing: a head of {head} records exists")
        self.uncovered = max(0, size - self._largest_head) if self._is_whole else 0

    def add_fault(self, text: str) -> None:
        """Take a fault, unless there are too many to be read."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(text)

    def _start(self, entry: dict[str, Any]) -> None:
        if entry["format"] != FORMAT:
            raise ValueError(f"format {entry['format']}, this file checks {FORMAT}")
        self._is_whole = entry["whole"]
        for name, public in entry["keys"].items() if self._trusts_export else ():
            if _key_name(public) != name:
                self.add_fault(f"key {name} is not the key of that name")
            self._keys[name] = public
        for head in self._witnessed:
            self._take_head(head, origin=head.get("origin", "head of the witness"))
        self._witnessed = []

    def _take_head(self, head: dict[str, Any], origin: str = "head") -> None:
        size = head["size"]
        self.heads += 1
        self._largest_head = max(self._largest_head, size)
        root = head["root"]
        if self._heads.get(size, root) != root:
            self.add_fault(f"{origin} of {size} records: two roots exist")
        if not self._is_whole or size > self._tree.size:
            self._heads.setdefault(size, root)
        elif size < self._tree.size:
            self.add_fault(f"{origin} of {size} records: it follows record {self._tree.size - 1}")
        elif not self._is_broken:
            self._compare(root)
        if not self._is_signed(head):
            self.add_fault(f"{origin} of {size} records: the signature is not that of key {head['key'] or '(none)'}")

    def _is_signed(self, head: dict[str, Any]) -> bool:
        if not head["key"] and not self._keys:
            self.unsigned += 1
            return True
        public = self._keys.get(head["key"])
        if public is None:
            return False
        try:
            from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only signatures need it
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
        except ImportError as error:
            raise ValueError("signatures cannot be checked: install the package cryptography") from error
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
            key.verify(bytes.fromhex(head["signature"]), signed_text(head))
        except (InvalidSignature, ValueError):
            return False
        return True

    def _take_record(self, record: dict[str, Any]) -> None:
        number = record["leaf"]
        self.archived += "raw" not in record
        try:
            leaf = leaf_hash(record)
        except (binascii.Error, KeyError, TypeError, ValueError) as error:
            self.add_fault(f"record {number}: unreadable: {error}")
            leaf = b""
        if not self._is_whole:
            self._check_proof(record, leaf)
        elif number != self._tree.size:
            self.add_fault(f"record {self._tree.size} is missing, record {number} follows")
            self._is_broken = True
            self._tree.size = number + 1
            self._heads = {size: root for size, root in self._heads.items() if size > number + 1}
        elif not self._is_broken:
            self._tree.append(leaf)
            self._compare(self._heads.pop(self._tree.size, None))
        else:
            self._tree.size += 1
            self._heads.pop(self._tree.size, None)

    def _compare(self, root: str | None) -> None:
        """Compare the root of a head of all records until now, if there is one, with theirs."""
        size = self._tree.size
        if root == self._tree.root().hex():
            self._agreed = size
        elif root is not None:
            self._is_broken = True
            self.add_fault(f"records {self._agreed} to {size - 1} are not those of the head of {size} records")

    def _check_proof(self, record: dict[str, Any], leaf: bytes) -> None:
        number, size = record["leaf"], record["size"]
        root = root_by_proof(leaf, number, size, [bytes.fromhex(each) for each in record["proof"]])
        if size not in self._heads:
            self.add_fault(f"record {number}: there is no head of {size} records")
        elif root is None or root.hex() != self._heads[size]:
            self.add_fault(f"record {number}: its proof does not lead to the head of {size} records")

    def _check_consistency(self, entry: dict[str, Any]) -> None:
        old, new = entry["old"], entry["new"]
        if old not in self._heads or new not in self._heads:
            self.add_fault(f"consistency of {old} and {new} records: there is no head of that size")
            return
        roots = bytes.fromhex(self._heads[old]), bytes.fromhex(self._heads[new])
        found = roots_by_proof(old, new, roots[0], [bytes.fromhex(each) for each in entry["proof"]])
        if found != roots:
            self.add_fault(f"the head of {new} records does not continue that of {old} records")


def _key_name(public: str) -> str:
    """Return the name of a public key."""
    try:
        return sha256(bytes.fromhex(public)).hex()[:32]
    except ValueError as error:
        raise ValueError(f"{public!r} is not a public key in hex") from error


def decompress(packed: bytes) -> bytes:
    """Return the lines of an object of an archive; raise ValueError if they cannot be read."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            zstd = importlib.import_module(name)
        except ImportError:
            continue
        try:
            return bytes(zstd.decompress(packed))
        except zstd.ZstdError as error:
            raise ValueError(f"an object is not compressed by zstd: {error}") from error
    raise ValueError("archives cannot be read: install the package backports.zstd")


def check_archive(verification: Verification, manifest: Path) -> None:
    """Check an archive in a folder."""
    read = json.loads(manifest.read_text(encoding="utf-8-sig"))
    verification.start_archive(read)
    for described in read["objects"]:
        verification.check_object(described, (manifest.parent / described["name"]).read_bytes())


def read_heads(file: Path) -> list[dict[str, Any]]:
    """Return the heads that a witness kept in a file; raise ValueError if one is incomplete."""
    with file.open(encoding="utf-8") as lines:
        heads = [each for each in read_lines(lines, str(file)) if each.get("kind") == "head"]
    for head in heads:
        missing = HEAD_FIELDS - head.keys()
        if missing:
            raise ValueError(f"{file}: a head has no {', '.join(sorted(missing))}")
    return heads


def read_lines(lines: Iterable[str], name: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file; raise ValueError with the place of a bad line."""
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{name}: line {number}: {error}") from error
        if not isinstance(entry, dict):
            raise ValueError(f"{name}: line {number}: not an object")  # noqa: TRY004 - a fault of the file, as above
        yield entry


def main() -> int:
    """Check the files named on the command line."""
    parser = argparse.ArgumentParser(description="Check an export or an archive of Trunkline's audit trail")
    parser.add_argument("export", help="export, or manifest.json of an archive")
    parser.add_argument("--heads", help="file with the heads that a witness kept")
    parser.add_argument("--key", default="", help="public key that you trust, in hex")
    given = parser.parse_args()
    try:
        verification = Verification(read_heads(Path(given.heads)) if given.heads else [], given.key)
        if given.export.endswith(".json"):
            check_archive(verification, Path(given.export))
        else:
            with Path(given.export).open(encoding="utf-8") as file:
                for entry in read_lines(file, given.export):
                    verification.check(entry)
        verification.finish()
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"verify: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print(*verification.faults, verification.summary, sep="\n")  # noqa: T201
    return 1 if verification.faults else 0


if __name__ == "__main__":
    sys.exit(main())
