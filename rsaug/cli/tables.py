"""Results on a terminal: facts by name, one a row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType


def show_facts(rows: Iterable[tuple[str, RenderableType]]) -> None:
    """Print facts to stdout; the first stands out. A text is printed as it is, without markup."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for number, (name, value) in enumerate(rows):
        shown = Text(value, style="" if number else "bold") if isinstance(value, str) else value
        grid.add_row(name, shown)
    Console(highlight=False).print(grid)
