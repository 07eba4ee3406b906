"""SECURITY.md: every promise names the tests that keep it, and they exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[list[str]]:
    """The cells of every promise."""
    lines = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_promise_names_tests_that_exist() -> None:
    found = rows()
    assert len(found) >= 20 and all(len(row) == 3 for row in found)
    for promise, _, kept_by in found:
        names = NAMED.findall(kept_by)
        assert names and NAMED.sub("", kept_by).split() == [], f"{promise}: {kept_by}"
        for path, name in names:
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert name.startswith("test_") and name in tests, f"{path} has no {name}, which keeps: {promise}"


def test_no_test_is_named_outside_the_tables() -> None:
    assert len(NAMED.findall(TEXT)) == sum(len(NAMED.findall(row[2])) for row in rows())
