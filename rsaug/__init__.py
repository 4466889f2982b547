"""rsaug: vector layers in, georeferenced synthetic imagery with exact labels out."""

from importlib.metadata import version

__version__ = version("rsaug")
