"""The blocks of code in the documentation, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "examples" / "helsinki" / "README.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))

_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Path of its page from the root of the repository.
        number: Which one of its language it is on that page, from 0.
        language: As the fence names it.
        text: What is in it.
    """

    page: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.language}-{self.number}"


@dataclass(frozen=True)
class Line:
    """A command of a block of the shell, on one line and without its comment."""

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.words)


def blocks(language: str) -> list[Block]:
    """All blocks of a language, page by page."""
    found = []
    for page in PAGES:
        texts = [
            m[2] for m in _BLOCK.finditer(page.read_text(encoding="utf-8")) if m[1] == language
        ]
        name = page.relative_to(ROOT).as_posix()
        found += [Block(name, number, language, text) for number, text in enumerate(texts)]
    return found


def lines(block: Block) -> Iterator[Line]:
    """The commands of a block."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield Line(block, tuple(words))


def commands() -> list[Line]:
    """Every ``rsaug`` command of the documentation, each once, in the order of the pages."""
    found: dict[str, Line] = {}
    for block in blocks("sh"):
        for line in lines(block):
            if line.words[0] == "rsaug":
                found.setdefault(str(line), line)
    return list(found.values())


def resolve(root: Any, words: tuple[str, ...]) -> tuple[tuple[str, ...], Any, list[str]]:
    """The command that words call, by name; the words after it are its arguments.

    Raises:
        LookupError: if there is no such command.
    """
    path: tuple[str, ...] = ()
    command, rest = root, [*words]
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            raise LookupError(f"there is no command {' '.join([*path, *rest[:1]])!r}")
        path, command = (*path, rest[0]), command.commands[rest[0]]
        rest = rest[1:]
    return path, command, rest
