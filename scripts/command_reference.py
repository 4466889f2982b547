"""The help of every command as one Markdown page, from the commands themselves.

    python scripts/command_reference.py > commands.md

The documentation site fills its page of commands with it whenever it is built.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import typer

from rsaug.cli import app

_OTHERS = "Options"
_STYLE = re.compile(r"\[(/?)(bold|dim|italic|/)?[^\]\[]*\]")


def command_reference(level: int = 2) -> str:
    """Markdown of all commands in the order of ``rsaug --help``, each below a heading.

    Args:
        level: Depth of the headings of commands.
    """
    root: Any = typer.main.get_command(app)
    return "\n".join(_lines(root, ("rsaug",), level)).rstrip() + "\n"


def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group, with the words that it is called by; groups go first."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from walk(below, (*path, name))


def _lines(root: Any, path: tuple[str, ...], level: int) -> Iterator[str]:
    for words, command in walk(root, path):
        if words == path:
            continue
        yield f"{'#' * (level + len(words) - 2)} rsaug {' '.join(words[1:])}"
        yield ""
        yield from _described(command)
        if not hasattr(command, "commands"):
            yield "```text"
            yield _usage(command, words).replace("\\|", "|")
            yield "```"
            yield ""
            yield from _parameters(command)


def _described(command: Any) -> Iterator[str]:
    """The paragraphs of a command's help, each on one line."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.strip():
            yield _plain(" ".join(paragraph.split()))
            yield ""


def _usage(command: Any, words: tuple[str, ...]) -> str:
    arguments = [
        f"[{_metavar(one)}]" if not one.required else _metavar(one)
        for one in command.params
        if one.param_type_name == "argument"
    ]
    return " ".join([*words, "[OPTIONS]", *arguments])


def _parameters(command: Any) -> Iterator[str]:
    """Tables of arguments and options, one a panel of the help."""
    panels: dict[str, list[Any]] = {}
    for one in command.params:
        if getattr(one, "hidden", False):
            continue
        usual = "Arguments" if one.param_type_name == "argument" else _OTHERS
        panels.setdefault(getattr(one, "rich_help_panel", None) or usual, []).append(one)
    for title, members in panels.items():
        yield f"| {title} | |"
        yield "| --- | --- |"
        for one in members:
            yield f"| {_names(one)} | {_said(one)} |"
        yield ""


def _names(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{_metavar(one)}`"
    value = "" if one.is_flag else f" {_metavar(one)}"
    names = sorted([*one.opts, *one.secondary_opts], key=lambda name: not name.startswith("--"))
    return ", ".join(f"`{name}{value}`" for name in names[:1]) + "".join(
        f", `{name}`" for name in names[1:]
    )


def _metavar(one: Any) -> str:
    """What stands for the value in the help, with pipes that a table does not break at."""
    return str(one.metavar or one.name.upper()).replace("|", "\\|")


def _said(one: Any) -> str:
    """The help of a parameter, with its default where the help does not say it."""
    text = _plain(getattr(one, "help", None) or "")
    default = one.default
    shown = default is not None and default is not False and not callable(default)
    if shown and default != () and str(default) and "Default:" not in text:
        text = f"{text} Default: {_escaped(str(default))}."
    if one.required:
        text = f"{text} **Needed.**" if "Needed" not in text else text
    return text.replace("|", "\\|").strip()


def _plain(text: str) -> str:
    """Help with rich's marks of style as Markdown: bold stays, what is dimmed is plain."""
    parts, at = [], 0
    open_bold = False
    for mark in _STYLE.finditer(text):
        closes, style = mark.group(1), mark.group(2)
        if not (closes or style in ("bold", "dim", "italic")):
            continue
        parts.append(_escaped(text[at : mark.start()]))
        at = mark.end()
        if style == "bold" and not closes:
            open_bold = True
            parts.append("**")
        elif closes and open_bold:
            open_bold = False
            parts.append("**")
    return "".join([*parts, _escaped(text[at:])])


def _escaped(text: str) -> str:
    return re.sub(r"([*_<>`\[\]])", r"\\\1", text)


if __name__ == "__main__":
    sys.stdout.write(command_reference())
