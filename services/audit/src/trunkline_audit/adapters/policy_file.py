"""The file of the retention policy."""

from __future__ import annotations

from pathlib import Path

from trunkline_chassis.toml_file import TomlFileError, line_of, line_of_table, read_toml

from trunkline_audit.core.retention.policy import InvalidAgeError, PolicyFile, RetentionPolicy, parse_policy


def load_policy(file: Path | None) -> RetentionPolicy:
    """Read the policy; without a file it keeps everything. Raises `TomlFileError` with file, line and reason."""
    if file is None:
        return RetentionPolicy()
    given = read_toml(file, PolicyFile)
    try:
        return parse_policy(given)
    except InvalidAgeError as error:
        after = line_of_table(file, "rule", error.rule) if error.rule is not None else 0
        raise TomlFileError(file, str(error), line=line_of(file, error.key, after=after)) from error
