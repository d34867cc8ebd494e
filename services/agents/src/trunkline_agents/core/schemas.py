"""Check of arguments against a JSON schema that may be hostile; `adapters.schema_worker` runs it in its own process."""

from __future__ import annotations

from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

_MAX_CHARACTERS: Final = 500
_CLOSED: Final[Registry[Any]] = Registry()
"""Resolves references within the schema only: nothing is read from a network or a file."""


def find_violation(schema: dict[str, Any], arguments: object) -> str:
    """Return the reason why arguments do not match a schema, an empty string if they do."""
    try:
        Draft202012Validator.check_schema(schema)
        violation = best_match(Draft202012Validator(schema, registry=_CLOSED).iter_errors(arguments))
    except SchemaError as error:
        return f"the tool's schema is invalid: {error.message}"[:_MAX_CHARACTERS]
    except Unresolvable as error:
        return f"the tool's schema refers to {error.ref}, which is not part of it"[:_MAX_CHARACTERS]
    except (RecursionError, ValueError, TypeError, MemoryError) as error:
        return f"the tool's schema cannot be checked: {type(error).__name__}"
    if violation is None:
        return ""
    return f"the arguments do not fit: {violation.json_path}: {violation.message}"[:_MAX_CHARACTERS]
