"""The operator's token of a suite on this machine, kept in its data folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from trunkline_chassis.http_address import is_loopback

from trunkline_cli.errors import CommandError


def find_operator_token(data_dir: Path, url: str) -> str:
    """Return the token in the data folder; empty without one, or if `url` is not on this machine.

    The token of this machine's suite is never sent to another machine. Raises `CommandError` if the file exists but
    must not be read.
    """
    if not is_loopback(urlsplit(url).hostname or ""):
        return ""
    file = data_dir / "secrets" / "operator"
    try:
        return file.read_text(encoding="utf-8-sig").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read the operator token: {error}; set TRUNKLINE_OPERATOR_TOKEN") from error
