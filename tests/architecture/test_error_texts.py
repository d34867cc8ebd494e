"""The text of an error that may be any library's is used nowhere: it may quote a customer or a secret."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

import pytest

from tests.architecture.language import MEASURED, ROOT, python_files

BROAD: Final = {"Exception", "BaseException"}


def quoted_errors(source: str) -> Iterator[int]:
    """Yield the lines where a broad `except` turns its error into text, other than by `reason_of`."""
    for handler in ast.walk(ast.parse(source)):
        if isinstance(handler, ast.ExceptHandler) and handler.name and _is_broad(handler.type):
            for node in ast.walk(handler):
                if _quotes(node, handler.name):
                    yield handler.lineno


def _is_broad(caught: ast.expr | None) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(name, ast.Name) and name.id in BROAD for name in names)


def _quotes(node: ast.AST, error: str) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="str" | "repr"), args=[ast.Name(id=name)]):
            return name == error
        case ast.FormattedValue(value=ast.Name(id=name)):
            return name == error
        case _:
            return False


def test_text_of_an_unknown_error_is_not_used() -> None:
    """It would reach a log, a dead letter or the reply to another process."""
    found = {
        str(file.relative_to(ROOT)): lines
        for file in python_files(MEASURED)
        if (lines := sorted(set(quoted_errors(file.read_text("utf-8")))))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("handler", "count"),
    [
        ("except Exception as error: Reject(repr(error))", 1),
        ("except BaseException as error: log(f'{error}')", 1),
        ("except (KeyError, Exception) as error: log(f'{error!r}', str(error))", 2),
        ("except Exception as error: log(reason_of(error), type(error).__name__)", 0),
        ("except BusError as error: log(str(error))", 0),
    ],
)
def test_quoted_error_is_found(handler: str, count: int) -> None:
    """An own error has a text that is written for logs."""
    assert len(list(quoted_errors(f"try: ...\n{handler}"))) == count
