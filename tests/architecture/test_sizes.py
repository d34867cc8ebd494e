"""Modules and functions stay small."""

from __future__ import annotations

import ast

from tests.architecture.language import MEASURED, ROOT, python_files

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_LONG_FUNCTIONS = 6


def test_files_are_short() -> None:
    """One idea per module, also in the tests."""
    files = python_files([*MEASURED, "tests", "bench"])
    lengths = {str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines()) for file in files}
    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_functions_are_short() -> None:
    """A few wiring functions may be longer than a screen."""
    long = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"
        for file in python_files(MEASURED)
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert len(long) <= MAX_LONG_FUNCTIONS, long
