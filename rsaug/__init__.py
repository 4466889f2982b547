"""rsaug: vector layers in, georeferenced synthetic imagery with exact labels out.

From Python, `synthesize` makes tiles and `control_maps` draws what they are made from; both, and
all that they need, are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rsaug.controlmaps import MapSequence, control_maps
    from rsaug.errors import InputError, OutputError, RsaugError, RunError
    from rsaug.notices import Notice
    from rsaug.pipelines.tiles import SynthTile, TileSequence, synthesize
    from rsaug.tilemaps import TileMaps

__version__ = version("rsaug")

__all__ = [
    "InputError",
    "MapSequence",
    "Notice",
    "OutputError",
    "RsaugError",
    "RunError",
    "SynthTile",
    "TileMaps",
    "TileSequence",
    "__version__",
    "control_maps",
    "synthesize",
]

_HOMES = {
    "rsaug.controlmaps": ("MapSequence", "control_maps"),
    "rsaug.errors": ("InputError", "OutputError", "RsaugError", "RunError"),
    "rsaug.notices": ("Notice",),
    "rsaug.pipelines.tiles": ("SynthTile", "TileSequence", "synthesize"),
    "rsaug.tilemaps": ("TileMaps",),
}


if not TYPE_CHECKING:  # to a type checker every name would be there

    def __getattr__(name: str) -> Any:
        """A public name, imported now (PEP 562)."""
        for module, names in _HOMES.items():
            if name in names:
                return getattr(import_module(module), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Names that are there, imported or not."""
    return sorted({*globals(), *__all__})
