"""What mutants there are of a module."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from types import ModuleType

import pytest
from scriptfile import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("mutants")


SOURCE = '''
"""A module."""
from typing import Literal
KIND = Literal["a"]
def clamped(x: int = 3) -> int:
    """Its documentation."""
    if x < 0 and not done:
        raise ValueError("below 0")
    print(x)
    return x - 1
'''

EXPECTED = {
    ("3", "4"),
    ("if x < 0 and (not done): raise ValueError('below 0')",
     "if not (x < 0 and (not done)): raise ValueError('below 0')"),
    ("x < 0 and (not done)", "x < 0 or not done"),
    ("x < 0", "x <= 0"),
    ("x < 0", "x >= 0"),
    ("0", "1"),
    ("not done", "done"),
    ("raise ValueError('below 0')", "pass"),
    ("print(x)", "pass"),
    ("return x - 1", "return None"),
    ("x - 1", "x + 1"),
    ("1", "2"),
}  # fmt: skip


def test_each_place_is_changed_once_and_texts_for_people_are_not(script: ModuleType) -> None:
    made = list(script.mutants(SOURCE))
    assert {(mutant.before, mutant.after) for mutant in made} == EXPECTED
    assert len(made) == len(EXPECTED)
    assert [mutant.number for mutant in made] == list(range(len(made)))
    plain = ast.dump(ast.parse(SOURCE))
    trees = {ast.dump(mutant.tree) for mutant in made}
    assert len(trees) == len(made)
    assert plain not in trees
    for mutant in made:
        compile(mutant.tree, "mutant", "exec")


def test_every_module_with_a_suite_has_its_tests(script: ModuleType) -> None:
    root = script.ROOT
    assert script.SUITES
    for module, tests in script.SUITES.items():
        assert find_spec(module) is not None
        assert all((root / test).is_file() for test in tests)
