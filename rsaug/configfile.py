"""Configuration files of the user: keys with values, in YAML or JSON, of which nothing can run."""

from __future__ import annotations

import difflib
import json
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from rsaug.errors import InputError


def read_config(path: Path) -> dict[str, Any]:
    """What a file says: keys with texts, numbers, lists or keys of their own; {} where it is empty.

    Args:
        path: JSON where the name ends in ``.json``, else YAML.

    Raises:
        InputError: if the file cannot be read, is neither, has a key twice, or something else than
            keys.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text; a configuration is YAML or JSON.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:  # a zero byte in the name
        raise InputError(f"{str(path)!r} cannot be read ({error}).") from error
    found = _json(path, text) if path.suffix.lower() == ".json" else _yaml(path, text)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError(
            f"{path} has {shown(found)} instead of keys with values; write them as in: key: value"
        )
    return {str(key): value for key, value in found.items()}


def unknown_key(path: Path, key: str, known: Iterable[str]) -> InputError:
    """What is said of a key that there is none of, with the name that comes closest."""
    names = [*known]
    near = difflib.get_close_matches(key, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}."
    return InputError(f"{path} has the key {key!r}, which is no option; {hint}")


def shown(value: object) -> str:
    """A value for a message, cut where it is long."""
    # What YAML repeats by reference is short in the file and endless when it is written out.
    text = "nothing" if value is None else reprlib.repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _once(path, pairs))
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply.") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}).") from error


def _once(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InputError(f"{path} has the key {key!r} twice; keep one of them.")
        found[key] = value
    return found


def _yaml(path: Path, text: str) -> Any:
    class Loader(yaml.SafeLoader):
        """Texts, numbers, lists and mappings, no key twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = next((key for k, key in enumerate(keys) if key in keys[:k]), None)
            if twice is not None:
                raise InputError(f"{path} has the key {twice!r} twice; keep one of them.")
            found: dict[Any, Any] = super().construct_mapping(node, deep)
            return found

    try:
        return yaml.load(text, Loader)
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply.") from error
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise InputError(f"{path} is no YAML ({' '.join(str(error).split())}).") from error
