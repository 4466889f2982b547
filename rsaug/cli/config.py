"""Options from a file, ``--config``, and the file that ``rsaug init`` writes: both as declared.

A command's signature is the only declaration of its options. What a file may hold, of which type,
and what is said of it is read from there, so neither can be stale.
"""

from __future__ import annotations

import datetime as dt
import inspect
import re
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

from rsaug.cli.layer_options import RUN
from rsaug.errors import InputError

_NAMES = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
_NEVER = ("config", "json")
"""Options that say how a command is called rather than what it makes."""

_IS_FILE = {"LAYER", "FILE", "DIR", "IMAGE", "IMAGE...", "TOML", "PEM", "PNG", "DIR|FILE"}
_MAY_BE_FILE = {"FILE|BOX", "NAME|FILE", "NAME|TOML", "LAYER|FILE", "MODEL"}
_NAMES_FILE = {"seg=FILE"}
"""Metavars of options whose values are paths, can be, or have one after a name."""


@dataclass(frozen=True)
class Declared:
    """An option or argument of a command.

    Attributes:
        param: Name of the function's parameter.
        option: Its name on the command line, as in ``--tile-size``; "" for an argument.
        key: Name in a file: that of the option, with underscores.
        kind: Type of a value: str, int, float, bool or Path.
        several: Whether it is a list of these.
        help: What it is for, without the default.
        default: Default for a reader; "" where there is none.
        metavar: What a value looks like, in capitals.
        panel: Heading that it is shown under.
        least: Smallest number; None for any.
        most: Largest number; None for any.
        needed: Whether the command ends without it.
    """

    param: str
    option: str
    key: str
    kind: type
    several: bool
    help: str
    default: str
    metavar: str
    panel: str
    least: float | None
    most: float | None
    needed: bool

    @property
    def expected(self) -> str:
        """The type in words."""
        one = _NAMES.get(self.kind, "a path")
        if self.least is not None and self.most is not None:
            one += f" from {self.least:g} to {self.most:g}"
        elif self.least is not None:
            one += f" from {self.least:g} up"
        return f"a list, each entry {one}" if self.several else one


def declared(command: Callable[..., Any]) -> list[Declared]:
    """Options and arguments of a command that a file can hold, in their order."""
    hints = get_type_hints(command, include_extras=True)
    found = []
    for name, parameter in inspect.signature(command).parameters.items():
        if get_origin(hints[name]) is Annotated:
            made = _declared(name, hints[name], parameter.default)
            if made.key not in _NEVER:
                found.append(made)
    return found


def _declared(name: str, hint: Any, default: Any) -> Declared:
    annotation, info = get_args(hint)[:2]
    kinds = [kind for kind in _alternatives(annotation) if kind is not types.NoneType]
    kind, several = kinds[0], get_origin(kinds[0]) is list
    if several:
        kind = get_args(kind)[0]
    # In Annotated the first name stands where typer has the default elsewhere.
    written = (info.default, *(info.param_decls or ()))
    names = [text for text in written if isinstance(text, str) and text.startswith("--")]
    is_argument = isinstance(info, typer.models.ArgumentInfo)
    option = "" if is_argument else names[0] if names else f"--{name.replace('_', '-')}"
    said, _, shown_default = _plain(info.help or "").partition(" Default: ")
    needed = default is inspect.Parameter.empty or said.endswith(" Needed.")
    if kind is not bool and not needed and default is not None:
        shown_default = str(default)
    return Declared(
        param=name,
        option=option,
        key=(option.removeprefix("--") or name).replace("-", "_"),
        kind=kind,
        several=several,
        help=said.removesuffix(" Needed."),
        default=shown_default.removesuffix("."),
        metavar=info.metavar or "",
        panel=info.rich_help_panel or "",
        least=info.min,
        most=info.max,
        needed=needed,
    )


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def _plain(text: str) -> str:
    """A help text without its markup."""
    return re.sub(r"\[/?[a-z]*\]", "", text)


def _take(ctx: typer.Context, value: str | None) -> str | None:
    """The callback of ``--config``: options of the file become the command's defaults."""
    if value is None or ctx.resilient_parsing:
        return value
    from rsaug.storage import is_remote

    wrapped: Any = ctx.command.callback
    command = inspect.unwrap(wrapped)
    # The record of a run, wherever it lies, is read by the command that makes the run again.
    if is_remote(value) or (Path(value).suffix.lower() == ".json" and _is_record(Path(value))):
        if ctx.info_name in ("synth", "conditions"):
            return value
        raise InputError(f"{value} is the record of a run, which rsaug synth makes again.")
    ctx.default_map = options_of(command, Path(value))
    return None


Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        help="Options in a file, YAML or JSON; see rsaug init. Those given here go first.",
        metavar="FILE",
        rich_help_panel=RUN,
        callback=_take,
        is_eager=True,
    ),
]
RunConfig = Annotated[
    str | None,
    typer.Option(
        "--config",
        help="Options in a file, see rsaug init, or the run.json of a run to make again. Those "
        "given here go first.",
        metavar="FILE|RUN.JSON",
        rich_help_panel=RUN,
        callback=_take,
        is_eager=True,
    ),
]


def _is_record(path: Path) -> bool:
    from rsaug.configfile import read_config

    return isinstance(read_config(path).get("options"), dict)


def options_of(command: Callable[..., Any], path: Path) -> dict[str, Any]:
    """Options for a command from a file, by the names of its parameters.

    Paths in the file are relative to its folder.

    Raises:
        InputError: if the file cannot be read, or has an unknown key or a value of another type;
            one sentence says which, what was given and what is expected.
    """
    from rsaug.configfile import read_config, unknown_key

    known = {entry.key: entry for entry in declared(command)}
    values = {}
    for written, value in read_config(path).items():
        key = written.replace("-", "_")
        if key not in known:
            raise unknown_key(path, written, known)
        if known[key].param in values:
            raise InputError(f"{path} has the key {key!r} twice; keep one of them.")
        if value is not None:
            values[known[key].param] = _value(path, known[key], value)
    return values


def _value(path: Path, entry: Declared, value: Any) -> Any:
    if not entry.several:
        return _one(path, entry, value)
    if not isinstance(value, list):
        raise _refused(path, entry, value)
    return [_one(path, entry, inner) for inner in value]


def _one(path: Path, entry: Declared, value: Any) -> Any:
    """A value as the command takes it.

    Raises:
        InputError: if it is of another type, or outside the limits.
    """
    if entry.kind in (int, float):
        # In Python true is a number; here it is none.
        fits = type(value) is int or (entry.kind is float and isinstance(value, float))
        above = entry.least is None or (fits and value >= entry.least)
        below = entry.most is None or (fits and value <= entry.most)
        if fits and above and below:
            return value
    elif entry.kind is bool and isinstance(value, bool):
        return value
    elif entry.kind is not bool and isinstance(value, str):
        return _located(entry, value, path.parent)
    elif isinstance(value, dt.date) and not isinstance(value, dt.datetime) and entry.kind is str:
        return value.isoformat()  # YAML knows dates
    raise _refused(path, entry, value)


def _refused(path: Path, entry: Declared, value: Any) -> InputError:
    from rsaug.configfile import shown

    hint = ""
    if entry.kind in (str, Path) and isinstance(value, bool | int | float):
        hint = " Put it in quotes."
    return InputError(
        f"{path} has {shown(value)} for {entry.key!r}, which must be {entry.expected}.{hint}"
    )


def _located(entry: Declared, value: str, folder: Path) -> str:
    """A text, with the path in it as seen from here and not from the file's folder."""
    from rsaug.options import is_box, is_network, split_name
    from rsaug.storage import is_remote

    if entry.metavar in _NAMES_FILE:
        name, equals, region = value.partition("=")
        return f"{name}{equals}{folder / region}" if equals and not is_remote(region) else value
    if entry.metavar not in _IS_FILE | _MAY_BE_FILE or is_remote(value) or is_network(value):
        return value
    before, inner, after = split_name(value)
    if entry.metavar in _MAY_BE_FILE and (is_box(value) or not (folder / inner).exists()):
        return value
    return f"{before}{folder / inner}{after}"


def template(name: str, command: Callable[..., Any]) -> str:
    """A file of options for a command, each with what it is for; all but needed ones are remarks.

    Args:
        name: Name of the command, as in ``synth``.
        command: Its function.
    """
    entries = declared(command)
    lines = [
        f"# Options of rsaug {name}, to be used with: rsaug {name} --config THIS.yaml",
        "# Take the # away before what is to be set. Paths are relative to this file's folder.",
    ]
    for panel in dict.fromkeys(entry.panel for entry in entries):
        title = f"{panel or 'What is read'} "
        lines += ["", "", f"# ---- {title:-<70}"]
        for entry in entries:
            if entry.panel == panel:
                lines += ["", *_entry(entry)]
    return "\n".join(lines) + "\n"


def _entry(entry: Declared) -> Iterator[str]:
    import textwrap

    said = entry.help
    if re.search("[a-z0-9=,:]", entry.metavar):
        said += f" As in {entry.metavar}"
        said += "" if said.endswith(".") else "."
    if entry.default and entry.kind is not bool:
        said += f" Default: {entry.default}."
    yield from (f"# {line}" for line in textwrap.wrap(said, 96))
    if entry.needed:
        example = {"roads": "roads.geojson", "images": "[town.tif]"}.get(entry.key, "to-be-set")
        yield f"{entry.key}: {example}"
    else:
        yield f"# {entry.key}:{_literal(entry)}"


def _literal(entry: Declared) -> str:
    """The default as YAML has it, after a space; nothing where it depends on something."""
    if entry.kind is bool:
        return " false"
    if entry.kind in (int, float) and re.fullmatch(r"-?\d+(\.\d+)?", entry.default):
        return f" {entry.default}"
    return ""
