"""How far a run is: what its folder says, without its inputs or its model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rsaug.conditions.road_channels import CHANNELS
from rsaug.errors import InputError
from rsaug.folder import ROOMS, RunFolder
from rsaug.progress import in_words
from rsaug.quarantine import Failure, failures
from rsaug.storage import AnyPath, entries

_RATE_OF = 50
"""The speed is that of so many images, the last ones."""

_ROOMS = (*ROOMS, "labels", "content", *(f"channels/{channel.name}" for channel in CHANNELS))


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes:
        folder: Its folder.
        command: What made it.
        images: Images that it is to have; tiles, where it is of ``conditions``.
        complete: How many of them are there with all their files.
        broken: Items of which a file is missing or has another size.
        failed: What could not be made.
        bytes: Size of all files.
        created: When the data set was begun, ISO 8601.
        seconds_per_image: Speed of the last images; None of fewer than two.
        idle_seconds: Since the last image was written; None where there is none.
        model: Name of the model; None for ``conditions``, which has none.
    """

    folder: str
    command: Literal["synth", "conditions"]
    images: int
    complete: int
    broken: tuple[str, ...]
    failed: tuple[Failure, ...]
    bytes: int
    created: str
    seconds_per_image: float | None
    idle_seconds: float | None
    model: str | None

    @property
    def missing(self) -> int:
        """How many images are still to be made, those that failed with them."""
        return max(0, self.images - self.complete)

    def to_dict(self) -> dict[str, Any]:
        """The facts by name, JSON-able."""
        return {**asdict(self), "missing": self.missing}

    def to_text(self) -> str:
        """The facts for a reader."""
        what = "image" if self.command == "synth" else "tile"
        maker = "rsaug conditions" if self.model is None else f"model {self.model}"
        lines = [
            f"{self.folder}: {self.complete} of {self.images} {what}s are complete"
            + (f", {self.missing} are missing" if self.missing else ""),
            f"{maker}, begun {self.created}, {_size(self.bytes)} on the disk",
        ]
        if self.seconds_per_image is not None and self.missing:
            left = in_words(self.seconds_per_image * self.missing)
            lines.append(f"the last {what}s took {self.seconds_per_image:.3g} s each: {left} left")
        if self.idle_seconds is not None and self.missing:
            lines.append(f"the last {what} was written {in_words(self.idle_seconds)} ago")
        lines += [f"broken: {name}" for name in self.broken]
        lines += [f"failed: {failure.item}: {failure.reason}" for failure in self.failed]
        return "\n".join(lines)


def read_status(root: AnyPath, now: float) -> Status:
    """How far the run in a folder is.

    Args:
        root: The folder.
        now: Seconds since 1970, to tell how long nothing has happened.

    Raises:
        InputError: if it is not the folder of a run of ``rsaug synth`` or ``rsaug conditions``.
    """
    folder = RunFolder(root)
    asked = _asked(folder)
    files = folder.item_files()
    names = [file.name.removesuffix(".json") for file in files]
    broken = tuple(name for name in names if not folder.is_whole(name))
    times = sorted(file.modified for file in files)
    recent = times[-_RATE_OF:]
    return Status(
        folder=str(root),
        command=asked.command,
        images=asked.count,
        complete=len(names) - len(broken),
        broken=broken,
        failed=tuple(failures(folder)),
        bytes=sum(_sizes(root)),
        created=asked.created,
        seconds_per_image=(
            (recent[-1] - recent[0]) / (len(recent) - 1) if len(recent) > 1 else None
        ),
        idle_seconds=max(0.0, now - times[-1]) if times else None,
        model=asked.model,
    )


@dataclass(frozen=True)
class _Asked:
    """What the record of a run says of it."""

    command: Literal["synth", "conditions"]
    count: int
    created: str
    model: str | None


def _asked(folder: RunFolder) -> _Asked:
    record = folder.read_record()
    command = record.get("command")
    if command is not None:
        raise InputError(
            f"{folder.root} holds a run of rsaug {command}, and status is for those of synth and "
            f"conditions; rsaug report {folder.root} says what is there."
        )
    try:
        created = str(record["created"])
        if "images" not in record:
            return _Asked("conditions", int(record["tiles"]), created, None)
        model = str(record["generator"].get("model", "unknown"))
        return _Asked("synth", int(record["images"]), created, model)
    except KeyError as error:
        problem = f"it has no {error}"
    except (OverflowError, ValueError, TypeError, AttributeError) as error:
        problem = str(error)
    raise InputError(f"{folder.record} is no record of rsaug synth or conditions: {problem}.")


def _sizes(root: AnyPath) -> Iterator[int]:
    for room in (root, *(root / name for name in _ROOMS)):
        yield from (file.size for file in entries(room))


def _size(count: float) -> str:
    """A number of bytes for a reader."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} GB"
