"""Functions stay short: 60 lines without the docstring, 8 arguments, or a reason beside them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("diffsinger_jax", "configs", "data", "benchmarks")
MOST_LINES, MOST_ARGUMENTS = 60, 8
REASON = "# long: "
"""On the line of a `def` that is longer, with the reason behind it."""


def functions(text):
    """(definition, lines without the docstring, arguments without self) of each function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            yield node, lines, len([one for one in given if one.arg not in ("self", "cls")])


def too_long(text):
    """Names of those that are too long without a reason."""
    written = text.splitlines()
    return [
        node.name
        for node, lines, arguments in functions(text)
        if (lines > MOST_LINES or arguments > MOST_ARGUMENTS)
        and REASON not in written[node.lineno - 1]
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_functions_stay_short(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    found = {str(file.relative_to(ROOT)): too_long(file.read_text()) for file in files}
    assert {file: names for file, names in found.items() if names} == {}


def test_a_long_function_is_found_and_a_reason_lets_it_be():
    body = "    x = 1\n" * 61
    assert too_long(f"def f():\n{body}") == ["f"]
    assert too_long(f"def f():  {REASON}a list\n{body}") == []
    assert too_long("def f(a, b, c, d, e, *, f, g, h, i): pass\n") == ["f"]
