"""The folder of a sweep: a file a job, written whole, so that nothing is done twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsaug.downstream.arrays import read_arrays
from rsaug.downstream.bench.config import CONFIG_FILE, BenchConfig
from rsaug.downstream.bench.leaks import Check
from rsaug.downstream.bench.measures import Counted
from rsaug.downstream.bench.plan import Job, World
from rsaug.errors import InputError, OutputError
from rsaug.files import write_whole
from rsaug.jsontext import parse_json

_ROOMS = ("jobs", "failed", "predictions", "work")


@dataclass(frozen=True, eq=False)
class Result:
    """What came of a job.

    Attributes:
        key: Of the job.
        counted: Numbers of places, by split.
        facts: Everything else: what decided it, how long it took, on what.
    """

    key: str
    counted: Mapping[str, Counted]
    facts: Mapping[str, Any]

    def to_json(self) -> bytes:
        """As it is written."""
        splits = {split: counted.to_dict() for split, counted in self.counted.items()}
        document = {"key": self.key, "splits": splits, **self.facts}
        return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


@dataclass(frozen=True)
class Store:
    """Paths of a sweep's results.

    Attributes:
        root: The folder.
    """

    root: Path

    def check(self) -> None:
        """Refuse a folder that holds something else; one that is not there yet is none.

        Raises:
            InputError: if it does.
            OutputError: if it cannot be looked into.
        """
        try:
            is_sweep = not self.root.exists() or (
                self.root.is_dir()
                and ((self.root / CONFIG_FILE).is_file() or not any(self.root.iterdir()))
            )
        except OSError as error:
            raise OutputError(f"{self.root} cannot be read ({error.strerror}).") from error
        if not is_sweep:
            raise InputError(
                f"{self.root} is neither empty nor the folder of a sweep; name another one."
            )

    def prepare(self, config: BenchConfig) -> None:
        """Make the folder, and write the configuration into it.

        Raises:
            InputError: if the folder holds something else.
            OutputError: if it cannot be made.
        """
        self.check()
        try:
            for room in _ROOMS:
                (self.root / room).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.root} cannot be made ({error.strerror}).") from error
        write_whole(self.root / CONFIG_FILE, config.to_yaml().encode())

    def work(self, key: str) -> Path:
        """What the checkpoint of a job is named after."""
        return self.root / "work" / key

    def has(self, key: str) -> bool:
        """Whether a job is done."""
        return self._job(key).is_file()

    def write(self, result: Result, masks: NDArray[np.uint8] | None = None) -> None:
        """Keep what came of a job, and the masks of its first split where they are given."""
        if masks is not None:
            path = self.root / "predictions" / f"{result.key}.npz"
            part = path.with_name(f".{result.key}.part.npz")
            np.savez_compressed(part, bits=np.packbits(masks, axis=-1), cols=masks.shape[-1])
            part.replace(path)
        write_whole(self._job(result.key), result.to_json())
        (self.root / "failed" / f"{result.key}.json").unlink(missing_ok=True)

    def write_failure(self, key: str, job: Job, reason: str) -> None:
        """Note why a job could not be done."""
        document = {"key": key, "job": asdict(job), "reason": reason}
        text = json.dumps(document, indent=1) + "\n"
        write_whole(self.root / "failed" / f"{key}.json", text.encode())

    def read(self, key: str) -> Result | None:
        """What came of a job; None where it is not done.

        Raises:
            InputError: if its file is damaged.
        """
        path = self._job(key)
        if not path.is_file():
            return None
        try:
            document = parse_json(path.read_text(encoding="utf-8"))
            splits = document.pop("splits")
            counted = {split: Counted.from_dict(raw) for split, raw in splits.items()}
            return Result(document.pop("key"), counted, document)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} is damaged ({error!r}); remove it, and the job is done again."
            ) from error

    def masks(self, key: str) -> NDArray[np.uint8] | None:
        """What a detector found in the first split, (n, rows, cols); None where it is not kept."""
        path = self.root / "predictions" / f"{key}.npz"
        if not path.is_file():
            return None
        try:
            file = read_arrays(path.read_bytes())
            masks: NDArray[np.uint8] = np.unpackbits(file["bits"], axis=-1)[
                ..., : int(file["cols"])
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged ({error}); remove it.") from error
        return masks

    def failures(self, keys: Iterable[str]) -> list[tuple[str, str]]:
        """Name and reason of the jobs of these keys that could not be done."""
        found = []
        for key in keys:
            path = self.root / "failed" / f"{key}.json"
            if path.is_file() and not self.has(key):
                document = parse_json(path.read_text(encoding="utf-8"))
                raw = document["job"]
                name = f"{raw['arm']}, {raw['labels']} places, seed {raw['seed']}"
                found.append((name, str(document["reason"])))
        return found

    def write_checks(self, checks: Sequence[Check], leak: str | None = None) -> None:
        """Keep what the search for leaks came to, and the leak that ended it."""
        document = {"leak": leak, "checks": [check.to_dict() for check in checks]}
        write_whole(self.root / "leaks.json", (json.dumps(document, indent=1) + "\n").encode())

    def write_plan(self, world: World, keyed: Sequence[tuple[Job, str]], device: str) -> None:
        """Keep which job has which key, and what the pools are, for the report."""
        document = {
            "device": device,
            "data": {
                "label places": len(set(world.labelled.places)),
                "label tiles": len(world.labelled),
                "digest": world.labelled.digest,
                **{
                    f"{split} places": len(set(items.places)) for split, items in world.held.items()
                },
            },
            "pools": {name: pool.facts() for name, pool in world.pools.items()},
            "notes": [*world.notes],
            "jobs": [{**asdict(job), "key": key} for job, key in keyed],
        }
        write_whole(self.root / "plan.json", (json.dumps(document, indent=1) + "\n").encode())

    def read_json(self, name: str) -> dict[str, Any]:
        """One of the files that `write_plan` and `write_checks` wrote.

        Raises:
            InputError: if it is not there.
        """
        path = self.root / name
        try:
            document: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.root} is no folder of rsaug bench run ({name}: {error}); run a sweep first."
            ) from error
        return document

    def _job(self, key: str) -> Path:
        return self.root / "jobs" / f"{key}.json"
