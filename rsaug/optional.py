"""Optional parts: a library that is needed for one thing, and what to say where it is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from rsaug.errors import RsaugError


class MissingExtra(RsaugError, ImportError):
    """A library of an extra is not installed."""


def require(module: str, *, extra: str) -> ModuleType:
    """The module, imported.

    Args:
        module: Its name as in an import statement, e.g. ``cv2``.
        extra: The extra of rsaug that it belongs to.

    Raises:
        MissingExtra: if it is not installed, with the line that installs it. A module that is
            there but fails to import something of its own raises that error.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtra(
            f"This needs {package}, which is not installed; it comes with "
            f"pip install 'rsaug[{extra}]'.",
            name=module,
        ) from error
