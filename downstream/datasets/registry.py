"""Which datasets there are, ours and those that other packages bring.

torchgeo has no way to find datasets of other packages. We read and write one group of entry points,
``rsaug.datasets``: name of a dataset = its class. A package that has in its ``pyproject.toml`` ::

    [project.entry-points."rsaug.datasets"]
    my-roads = "mypackage.datasets:MyRoads"

can be named ``my-roads`` in a configuration of `rsaug.downstream.datamodules.RoadDataModule`.
"""

from __future__ import annotations

import importlib
import re
from importlib.metadata import entry_points
from typing import Any

from rsaug.errors import InputError

ENTRY_POINTS = "rsaug.datasets"
"""The group of entry points."""

_OURS = {
    "deepglobe": "rsaug.downstream.datasets:DeepGlobeRoads",
    "massachusetts": "rsaug.downstream.datasets:MassachusettsRoads",
    "naip": "rsaug.downstream.datasets:NAIPRoads",
    "spacenet": "rsaug.downstream.datasets:SpaceNetRoads",
    "synthetic": "rsaug.downstream.datasets:SyntheticRoads",
    "vectors": "rsaug.downstream.datasets:RoadVectors",
}
_PATH = re.compile(r"(?P<module>[\w.]+)[:.](?P<name>\w+)")


def datasets() -> dict[str, str]:
    """Where the class of each dataset is, as ``module:Class``, by the dataset's name.

    A name of ours cannot be taken by another package.
    """
    others = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    return dict(sorted((others | _OURS).items()))


def dataset_class(name: str) -> type[Any]:
    """The class of a dataset.

    Args:
        name: A name that `datasets` lists, or the path of a class, ``module:Class`` or
            ``module.Class``.

    Raises:
        InputError: if there is none by that name.
    """
    path = datasets().get(name, name)
    found = _PATH.fullmatch(path)
    try:
        if found is None:
            raise ImportError("it is neither a known name nor the path of a class")
        kind = getattr(importlib.import_module(found["module"]), found["name"])
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"No dataset is called {name!r} ({error}); there are {', '.join(datasets())}."
        ) from error
    if not isinstance(kind, type):
        raise InputError(f"{path} is no class.")
    return kind
