"""Models from the Hugging Face hub: fetched without code or pickles, or a plain word on why not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rsaug.errors import InputError

MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.md")
"""What is fetched of a model: weights, configurations, vocabularies, cards."""

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(name: str) -> bool:
    """Whether ``name`` can be a model's on the hub.

    >>> is_hub_id("owner/name"), is_hub_id("./folder"), is_hub_id("default")
    (True, False, False)
    """
    return _ID.fullmatch(name) is not None


def fetch(hub_id: str, files: Sequence[str] = MODEL_FILES, *, offline: bool = False) -> Path:
    """Folder of the local cache that holds a model's files; they are fetched if they are not there.

    Args:
        hub_id: as in ``owner/name``.
        files: patterns of the names that are wanted.
        offline: whether only the local cache is looked into.

    Raises:
        InputError: if the hub has no such model or cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    if not is_hub_id(hub_id):
        raise InputError(f"{hub_id!r} is neither a folder here nor a hub id like owner/name.")
    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(files), local_files_only=offline))
    except GatedRepoError as error:
        raise InputError(
            f"The hub gives {hub_id} only to those who have agreed to its terms; do so on its page "
            "and log in."
        ) from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"The hub has no model {hub_id}, or it is a private one and you are not logged in."
        ) from error
    except LocalEntryNotFoundError as error:
        if offline:
            raise InputError(
                f"{hub_id} is neither a folder here nor in the local cache; get it with: "
                f"rsaug models pull {hub_id}"
            ) from error
        raise InputError(
            f"{hub_id} is not in the local cache and the hub cannot be reached; fetch its files "
            "where there is a connection and give their folder instead."
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise InputError(f"{hub_id} could not be fetched from the hub: {error}") from error
