"""Change a module in one small way after another, and see whether its tests find each change.

``OMP_NUM_THREADS=1 python scripts/mutants.py rsaug.grid --out mutants.jsonl`` makes every mutant;
``--sample 50 --seed 0`` so many of them at random. What it prints of a survivor is its number,
line, and what stands there instead of what; ``--only NUMBER`` tries that one again.

Mutants are other comparisons, operators, numbers, truths, texts and conditions, ``None`` for a
result, and statements that are gone. Texts of errors, docstrings and annotations are left alone.

A mutant of a function's body is the function with other code, in a fork of a process that has all
modules and tests loaded. Those that no test finds so, and all others, are tried again with nothing
of rsaug loaded but what the fork itself loads, the mutant in place of its module.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Annotated

import pytest
import typer

ROOT = Path(__file__).parents[1]
SUITES = {
    "rsaug.grid": ["tests/test_grid.py"],
    "rsaug.osm_tags": ["tests/test_osm_tags.py"],
    "rsaug.provenance": ["tests/test_provenance.py"],
    "rsaug.road_rules": ["tests/test_road_rules.py", "tests/test_roads.py"],
    "rsaug.road_tags": ["tests/test_roads.py", "tests/test_road_rules.py"],
    "rsaug.roads": ["tests/test_roads.py", "tests/test_road_rules.py"],
    "rsaug.downstream.metrics.cldice": ["tests/downstream/metrics/test_cldice.py"],
    "rsaug.downstream.metrics.paths": ["tests/downstream/metrics/test_paths.py"],
    "rsaug.downstream.metrics.pixels": [
        "tests/downstream/metrics/test_pixels.py",
        "tests/downstream/evaluation/test_detection.py",
    ],
    "rsaug.downstream.metrics.topo": ["tests/downstream/metrics/test_topo.py"],
    "rsaug.pipelines.convert.keys": ["tests/pipelines/test_convert.py"],
    "rsaug.pipelines.convert.sizes": ["tests/pipelines/test_convert.py"],
}
"""The tests that a module's mutants are shown to, the quickest first."""

# A mutant that takes so many times the processor time of the module as it is, and then some.
_TIMES, _MORE_S = 6, 20
# A machine that is busy with other work may take so many times as long.
_WAIT = 15
_NO_LIMIT_S = 1e6

_COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
_OPERATE: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


Place = tuple[tuple[str, int | None], ...]
"""The way from a module to a node: fields, and where in a list."""

Change = Callable[[ast.AST], ast.AST]
"""What is made of a node."""


@dataclass(frozen=True)
class Mutant:
    """A module with one change.

    Attributes:
        number: Which of the module's mutants.
        line: Where the change is.
        scope: Function or class around it, "" for the module.
        before: What stands there.
        after: What stands there instead.
        source: The module as it is.
        path: The way to the node that is changed.
        change: What is done to it.
    """

    number: int
    line: int
    scope: str
    before: str
    after: str
    source: str
    path: Place
    change: Change

    @property
    def tree(self) -> ast.Module:
        """The whole module, changed."""
        tree = ast.parse(self.source)
        _put(tree, self.path, self.change(_at(tree, self.path)))
        return ast.fix_missing_locations(tree)


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its text."""
    number, plain = 0, ast.parse(source)
    for path, scope in _places(plain):
        before = _at(plain, path)
        for change in _changes(before):
            after = change(copy.deepcopy(before))
            line = getattr(before, "lineno", 0)
            shown = _shown(before), _shown(after)
            yield Mutant(number, line, scope, *shown, source, path, change)
            number += 1


def _places(tree: ast.AST, path: Place = (), scope: str = "") -> Iterator[tuple[Place, str]]:
    """Nodes that may be changed, and what is around each."""
    if isinstance(tree, ast.FunctionDef | ast.ClassDef):
        scope = f"{scope}.{tree.name}".strip(".")
    if isinstance(tree, ast.stmt | ast.expr):
        yield path, scope
    if isinstance(tree, ast.Raise | ast.JoinedStr) or _is_type(tree):
        return
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        many = value if isinstance(value, list) else [value]
        for k, child in enumerate(many):
            if isinstance(child, ast.AST) and not _is_docstring(child):
                at = k if isinstance(value, list) else None
                yield from _places(child, (*path, (field, at)), scope)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_type(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and _shown(node.value) == "Literal"


def _at(tree: ast.AST, path: Place) -> ast.AST:
    node = tree
    for field, k in path:
        found = getattr(node, field)
        node = found if k is None else found[k]
    return node


def _put(tree: ast.AST, path: Place, new: ast.AST) -> None:
    holder = _at(tree, path[:-1])
    field, k = path[-1]
    if k is None:
        setattr(holder, field, new)
    else:
        getattr(holder, field)[k] = new


def _shown(node: ast.AST) -> str:
    """One line of code, shortened."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 100 else text[:97] + "..."


def _changes(node: ast.AST) -> Iterator[Change]:
    """The changes of a node."""
    if isinstance(node, ast.Compare):
        for k, operator in enumerate(node.ops):
            for other in _COMPARE[type(operator)]:
                yield _set("ops", other(), k)
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATE:
        yield _set("op", _OPERATE[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield _set("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp):
        yield lambda old: old.operand  # type: ignore[attr-defined]
    elif isinstance(node, ast.Constant):
        for value in _other_values(node.value):
            yield _set("value", value)
    elif isinstance(node, ast.IfExp | ast.While):
        yield _negated
    yield from _statements(node)


def _statements(node: ast.AST) -> Iterator[Change]:
    """The changes of a statement as a whole."""
    if isinstance(node, ast.If) and _shown(node.test) != "TYPE_CHECKING":
        yield _negated
    elif isinstance(node, ast.Return) and node.value is not None and _shown(node.value) != "None":
        yield _set("value", ast.Constant(None))
    elif isinstance(node, ast.Break):
        yield lambda old: ast.Continue()
    elif isinstance(node, ast.Continue):
        yield lambda old: ast.Break()
    if isinstance(node, ast.AugAssign | ast.Raise) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield lambda old: ast.Pass()


def _other_values(value: object) -> Sequence[object]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return (value + 1,)
    if isinstance(value, float):
        return (value * 2 if value else 1.0,)
    return (value + "X",) if isinstance(value, str) else ()


def _set(field: str, value: object, k: int | None = None) -> Change:
    def change(node: ast.AST) -> ast.AST:
        if k is None:
            setattr(node, field, value)
        else:
            getattr(node, field)[k] = value
        return node

    return change


def _negated(node: ast.AST) -> ast.AST:
    node.test = ast.UnaryOp(ast.Not(), node.test)  # type: ignore[attr-defined]
    return node


class _Changed(importlib.machinery.SourceFileLoader):
    """Loads one module, as it is or as a mutant."""

    def __init__(self, name: str, path: Path, tree: ast.Module | None) -> None:
        super().__init__(name, str(path))
        self._tree = tree

    def get_code(self, fullname: str) -> CodeType:
        tree = ast.parse(Path(self.path).read_bytes()) if self._tree is None else self._tree
        return compile(tree, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds that module before anybody else does."""

    def __init__(self, loader: _Changed) -> None:
        self._loader = loader

    def find_spec(
        self, fullname: str, path: object, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._loader.name:
            return None
        return importlib.util.spec_from_file_location(
            fullname, self._loader.path, loader=self._loader
        )


class _Order:
    """Runs tests in the order of the time that they took before, and notes what they take now."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._took: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
        self._takes: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """The quickest first, as most find what is wrong."""
        items.sort(key=lambda item: self._took.get(item.nodeid, 0.0))

    def again(self, items: list[pytest.Item]) -> None:
        """The same by what another process has kept since."""
        self._took = json.loads(self._file.read_text())
        self.pytest_collection_modifyitems(items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set-up included, which is the first one's that needs it."""
        took = self._takes.get(report.nodeid, 0.0)
        self._takes[report.nodeid] = took + report.duration

    def keep(self) -> None:
        """For the next time."""
        self._file.write_text(json.dumps(self._takes))


class _Swaps:
    """In place of pytest's loop over tests: the loop in a fork for each mutant of a function.

    Args:
        trial: The module and its tests.
        chosen: Mutants; those that are not of a function's body are left out.
        order: Another plugin of the same run.
    """

    def __init__(self, trial: Trial, chosen: Sequence[Mutant], order: _Order) -> None:
        self._trial, self._chosen, self._order = trial, chosen, order

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """The module as it is first; nothing more where that fails."""
        trial = self._trial
        result, seconds = _forked(partial(self._as_it_is, session), 600.0, trial.said)
        if result != "survived":
            return True
        self._order.again(session.items)
        # Else the forks' first collection of garbage would copy all of the memory.
        gc.freeze()
        with trial.swapped_file.open("w") as file:
            for mutant in self._chosen:
                if (swap := _swap(trial, mutant)) is not None:
                    work = partial(self._changed, session, *swap)
                    found = _forked(work, _TIMES * seconds + _MORE_S, trial.said)
                    file.write(json.dumps([mutant.number, *found]) + "\n")
        return True

    def _as_it_is(self, session: pytest.Session) -> int:
        code = self._tests(session)
        self._order.keep()
        return code

    def _changed(self, session: pytest.Session, function: FunctionType, code: CodeType) -> int:
        function.__code__ = code
        # What was worked out before is worked out again.
        for name, module in [*sys.modules.items()]:
            for value in vars(module).values() if name.partition(".")[0] == "rsaug" else ():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
        return self._tests(session)

    def _tests(self, session: pytest.Session) -> int:
        items = session.items
        for item, after in itertools.zip_longest(items, items[1:]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if session.testsfailed:
                return 1
        return 0


def _swap(trial: Trial, mutant: Mutant) -> tuple[FunctionType, CodeType] | None:
    """The outermost function around a mutant, and its new code; None where that is not all."""
    code = compile(mutant.tree, trial.path, "exec", dont_inherit=True)
    found: object = sys.modules[trial.module]
    for part in mutant.scope.split("."):
        inner = [one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == part]
        if len(inner) != 1:
            return None
        code, found = inner[0], vars(found)[part]
        # Of class methods, properties, cached ones, and cached functions.
        for attribute in ("__func__", "fget", "func", "__wrapped__"):
            found = getattr(found, attribute, found)
        if isinstance(found, FunctionType):
            # The same where a default value is another.
            return None if found.__code__ == code else (found, code)
    return None


@dataclass(frozen=True)
class Trial:
    """How a module's tests are run.

    Attributes:
        module: The module.
        path: Its file.
        tests: Files of tests.
        notes: A folder for what one run leaves to the next.
    """

    module: str
    path: Path
    tests: Sequence[str]
    notes: Path

    @property
    def said(self) -> Path:
        """What the last run printed."""
        return self.notes / "said.txt"

    @property
    def swapped_file(self) -> Path:
        """A line for each mutant that was tried as the code of a function."""
        return self.notes / "swapped.jsonl"

    def swapped(self, chosen: Sequence[Mutant]) -> dict[int, tuple[str, float]]:
        """What came of mutants of functions that some test found, by number."""
        _forked(partial(self._all_swapped, chosen), _NO_LIMIT_S, self.said)
        if not self.swapped_file.exists():
            return {}
        lines = [json.loads(line) for line in self.swapped_file.read_text().splitlines()]
        return {
            number: (result, seconds) for number, result, seconds in lines if result != "survived"
        }

    def _all_swapped(self, chosen: Sequence[Mutant]) -> int:
        order = _Order(self.notes / "order.json")
        return self._pytest(order, _Swaps(self, chosen, order))

    def as_it_is(self) -> int:
        """Pytest's exit code; leaves the libraries that were loaded, and how long tests took."""
        order = _Order(self.notes / "order.json")
        code = self._run(None, order)
        order.keep()
        files = {name: str(getattr(one, "__file__", None)) for name, one in [*sys.modules.items()]}
        libraries = [name for name, file in files.items() if "site-packages" in file]
        (self.notes / "libraries.txt").write_text("\n".join(libraries))
        return code

    def changed(self, tree: ast.Module) -> int:
        """Pytest's exit code on a mutant."""
        return self._run(tree, _Order(self.notes / "order.json"))

    def _run(self, tree: ast.Module | None, order: _Order) -> int:
        sys.meta_path.insert(0, _Finder(_Changed(self.module, self.path, tree)))
        return self._pytest(order)

    def _pytest(self, *plugins: object) -> int:
        import hypothesis

        # What is found need not be made small.
        phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        hypothesis.settings.register_profile("mutants", phases=phases, database=None, deadline=None)
        hypothesis.settings.load_profile("mutants")
        # Loaded before pytest could rewrite their assertions, which are not those that count here.
        known = "ignore::pytest.PytestAssertRewriteWarning"
        options = ["-x", "-q", "-W", known, "-p", "no:cacheprovider"]
        return int(pytest.main([*self.tests, *options], plugins=plugins))


def _forked(work: Callable[[], int], limit_s: float, said: Path) -> tuple[str, float]:
    """What came of work in a process of its own, and its processor time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = os.fork()
    if child == 0:
        code = 70
        try:
            with said.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s), int(limit_s) + 5))
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    end, status = time.monotonic() + _WAIT * limit_s, None
    while status is None:
        ended, found = os.waitpid(child, os.WNOHANG)
        status = found if ended else None
        if status is None and time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.02)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if os.WIFSIGNALED(status):
        return "hung", seconds
    return ("survived" if os.WEXITSTATUS(status) == 0 else "found"), seconds


def _prepare(trial: Trial) -> float:
    """Load the libraries that the tests do, nothing of rsaug; the seconds that the tests take.

    Raises:
        SystemExit: if the tests fail on the module as it is.
    """
    for attempt in range(2):
        result, seconds = _forked(trial.as_it_is, 600.0, trial.said)
        if result != "survived":
            said = trial.said.read_text()[-3000:]
            raise SystemExit(f"the tests of {trial.module} fail as it is:\n{said}")
        if attempt == 0:
            for name in (trial.notes / "libraries.txt").read_text().split():
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
    return seconds


def main(
    module: Annotated[str, typer.Argument(help=f"One of {', '.join(SUITES)}.")],
    sample: Annotated[int | None, typer.Option(help="So many at random; all without.")] = None,
    seed: Annotated[int, typer.Option(help="Chooses them.")] = 0,
    only: Annotated[list[int] | None, typer.Option(help="These, by number.")] = None,
    within: Annotated[list[str] | None, typer.Option(help="Of these functions alone.")] = None,
    out: Annotated[Path, typer.Option(help="File to add results to.")] = Path("mutants.jsonl"),
) -> None:
    """Make mutants of a module and try its tests on each."""
    os.chdir(ROOT)
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise typer.BadParameter(f"there is no module {module}")
    source = Path(spec.origin).read_text(encoding="utf-8")
    every = [mutant for mutant in mutants(source) if _is_within(mutant, within)]
    chosen = every
    if only:
        chosen = [mutant for mutant in every if mutant.number in only]
    elif sample is not None and sample < len(every):
        kept = set(random.Random(f"{module}/{seed}").sample(range(len(every)), sample))
        chosen = [mutant for k, mutant in enumerate(every) if k in kept]
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, out.open("a", encoding="utf-8") as file:
        trial = Trial(module, Path(spec.origin), SUITES[module], Path(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == "rsaug"]:
            del sys.modules[name]
        swapped = trial.swapped(chosen)
        limit_s = _TIMES * _prepare(trial) + _MORE_S if len(swapped) < len(chosen) else 0.0
        for mutant in chosen:
            if (known := swapped.get(mutant.number)) is not None:
                result, seconds = known
            else:
                result, seconds = _forked(partial(trial.changed, mutant.tree), limit_s, trial.said)
            counts[result] += 1
            line = {
                **{key: getattr(mutant, key) for key in ("number", "line", "scope")},
                **{"module": module, "before": mutant.before, "after": mutant.after},
                **{"result": result, "seconds": round(seconds, 1)},
            }
            file.write(json.dumps(line) + "\n")
            file.flush()
            if result == "survived":
                typer.echo(f"{mutant.number} line {mutant.line} {mutant.scope}")
                typer.echo(f"  {mutant.before}\n  {mutant.after}")
    typer.echo(f"{module}: {len(chosen)} of {len(every)} mutants, {dict(counts)}")


def _is_within(mutant: Mutant, functions: Sequence[str] | None) -> bool:
    return not functions or any(mutant.scope.startswith(name) for name in functions)


if __name__ == "__main__":
    typer.run(main)
