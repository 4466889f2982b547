"""Ready configurations for ``torchgeo fit``, one a dataset.

``python -m rsaug.downstream.configs naip`` says where one lies.
"""

from __future__ import annotations

from pathlib import Path

from rsaug.errors import InputError

_FOLDER = Path(__file__).parent


def config_names() -> list[str]:
    """Names of the configurations."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def config_path(name: str) -> Path:
    """The file of a configuration.

    Raises:
        InputError: if there is none by that name.
    """
    if name not in config_names():
        raise InputError(
            f"No configuration is called {name!r}; there are {', '.join(config_names())}."
        )
    return _FOLDER / f"{name}.yaml"
