"""`trunkline operator-key`: a new key for a named operator."""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, Literal

import typer

from trunkline_cli.errors import CommandError

_MAX_NAME_CHARACTERS = 100


def operator_key(
    name: Annotated[str, typer.Argument(help="Name of the person, which customers see, or of the program")],
    role: Annotated[Literal["viewer", "agent", "lead", "admin", "auditor"], typer.Option(help="Role of the operator")],
) -> None:
    """Draw a key; print its entry for TRUNKLINE_OPERATOR_KEYS on stdout, and the key itself on stderr, only now."""
    if not 0 < len(name.strip()) <= _MAX_NAME_CHARACTERS or not name.isprintable():
        raise CommandError(f"the name must have 1 to {_MAX_NAME_CHARACTERS} printable characters")
    key = f"tlk_{secrets.token_urlsafe(32)}"
    quoted = name.strip().replace("\\", "\\\\").replace('"', '\\"')
    digest = hashlib.sha256(key.encode()).hexdigest()
    typer.echo(f'[[operator]]\nname = "{quoted}"\nrole = "{role}"\nsha256 = "{digest}"')
    typer.echo(f"key of {name.strip()}, not stored anywhere: {key}", err=True)
