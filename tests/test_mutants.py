"""What mutants there are of a module."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path
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
        assert importlib.util.find_spec(module) is not None
        assert all((root / test).is_file() for test in tests)


CLAMPING = '''
"""A module."""
from functools import cached_property, lru_cache
STEP = 1
@lru_cache
def low(x: int = 3) -> int:
    def inner() -> int:
        return x - 5
    return inner()
class Box:
    """A class."""
    SIDE = 7
    @classmethod
    def made(cls) -> int:
        return 11
    @property
    def width(self) -> int:
        return 13
    @cached_property
    def area(self) -> int:
        return 17
'''


def test_a_mutant_of_the_body_of_a_function_is_other_code(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clamping.py"
    path.write_text(CLAMPING, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("clamping")
    trial = script.Trial("clamping", path, [], tmp_path)
    swaps = {
        (mutant.before, mutant.after): script._swap(trial, mutant)
        for mutant in script.mutants(CLAMPING)
    }
    inside = {("5", "6"), ("11", "12"), ("13", "14"), ("17", "18"), ("x - 5", "x + 5")}
    assert {change for change in swaps if swaps[change] is not None} > inside
    # A constant, a default value and what a class holds are made as a module is loaded.
    assert not any(swaps[change] for change in (("1", "2"), ("3", "4"), ("7", "8")))
    function, code = swaps["x - 5", "x + 5"]
    assert module.low(2) == -3
    function.__code__ = code
    module.low.cache_clear()
    assert module.low(2) == 7
    function, code = swaps["17", "18"]
    function.__code__ = code
    assert module.Box().area == 18
