"""A CRS-Diff model as a generator of tiles."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsaug.conditions.stack import SLOTS
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.modelfiles import ModelFile, digest_of, model_files
from rsaug.pipelines.acceleration import Acceleration
from rsaug.pipelines.folders import INDEX
from rsaug.pipelines.lanes import Lanes, cores
from rsaug.pipelines.memory import is_out_of_memory, memory_told
from rsaug.pipelines.metadata import FIELDS
from rsaug.pipelines.models import load_pipeline, model_folder, pick_device
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.settings import SCHEDULERS, Settings
from rsaug.pipelines.steering import ControlUse
from rsaug.pipelines.text import CaptionEncoder
from rsaug.raster import read_rgb
from rsaug.requests import TileRequest

_STYLE_SIDE = 512


class CRSDiffGenerator:
    """Tiles from a CRS-Diff pipeline; a tile's pixels do not depend on what is made beside it.

    Every forward has the same shape: on a CPU one tile a core, on a GPU ``batch_size`` with the
    last batch filled up. Other shapes would pick other kernels, which round differently.

    Args:
        pipe: the pipeline, on its device.
        settings: how tiles are made.
        style: image whose look is taken over, (1, 3, h, w) in [-1, 1].
        model: name of the model, for the record.
        files: the model's files by their paths in its folder.
        device: where the networks work; they may wait elsewhere.
        acceleration: how they are run.
        workers: on a CPU, how many tiles are made at once; None for as many as there are cores.
    """

    def __init__(
        self,
        pipe: CRSDiffPipeline,
        settings: Settings,
        style: Tensor | None,
        model: str,
        files: Mapping[str, ModelFile],
        device: torch.device,
        acceleration: Acceleration,
        workers: int | None = None,
    ) -> None:
        self.pipe, self.settings, self.style = pipe, settings, style
        self.model, self.files = model, files
        self.digest = digest_of({name: file.sha256 for name, file in files.items()})
        self.device, self.acceleration = device, acceleration
        self.lanes: Lanes | None = None
        self.batch_size = 8 if device.type == "cuda" else 1
        if device.type == "cpu" and not acceleration.compile:
            self.lanes = Lanes(pipe, workers or cores())
            self.batch_size = self.lanes.count

    def generate(self, requests: Sequence[TileRequest]) -> list[NDArray[np.uint8]]:
        """RGB of each request, uint8 (3, rows, cols).

        Where memory does not suffice for as many at once as there are lanes, they are made one
        after another, to the same bytes. A GPU's batch is not made smaller: its bytes would differ.

        Raises:
            ValueError: if what the networks make is no image, but NaN or infinite.
            MemoryError: if there is not enough memory.
        """
        with memory_told():
            return self._generate(requests, self.settings.steps)

    def reach(self, tile: Tile) -> tuple[range, range] | None:
        """None: a tile depends on its own conditions alone."""
        return None

    def _generate(
        self, requests: Sequence[TileRequest], steps: int | None
    ) -> list[NDArray[np.uint8]]:
        if self.lanes is not None:
            return self._generate_in_lanes(self.lanes, requests, steps)
        made: dict[int, NDArray[np.uint8]] = {}
        # Without a text there is one branch less to compute, which is another shape.
        for has_text in (False, True):
            here = [k for k, r in enumerate(requests) if self._has_text(r) == has_text]
            for start in range(0, len(here), self.batch_size):
                batch = here[start : start + self.batch_size]
                filled = [requests[k] for k in batch + batch[-1:] * (self.batch_size - len(batch))]
                images = self._generate_batch(self.pipe, filled, steps)
                made |= dict(zip(batch, images, strict=False))
        return [made[k] for k in range(len(requests))]

    def _generate_in_lanes(
        self, lanes: Lanes, requests: Sequence[TileRequest], steps: int | None
    ) -> list[NDArray[np.uint8]]:
        def one(pipe: CRSDiffPipeline, request: TileRequest) -> NDArray[np.uint8]:
            return self._generate_batch(pipe, [request], steps)[0]

        try:
            return lanes.map(one, requests)
        except (RuntimeError, MemoryError) as error:
            if len(requests) == 1 or not is_out_of_memory(error):
                raise
        return [image for request in requests for image in lanes.map(one, [request])]

    def _has_text(self, request: TileRequest) -> bool:
        return self._prompt(request.prompt) != self.settings.negative_prompt

    def _generate_batch(
        self, pipe: CRSDiffPipeline, batch: list[TileRequest], steps: int | None
    ) -> list[NDArray[np.uint8]]:
        settings = self.settings
        controls = [request.controls.only(self.pipe.config.trained_controls) for request in batch]
        result = pipe(
            torch.from_numpy(np.stack([given.maps for given in controls])),
            torch.tensor([given.present for given in controls], dtype=torch.float32),
            prompt=[self._prompt(request.prompt) for request in batch],
            negative_prompt=settings.negative_prompt,
            content_image=self.style,
            content_scale=settings.style_strength,
            metadata=torch.stack([self.metadata(request.tile) for request in batch]),
            num_inference_steps=steps,
            guidance_scale=settings.guidance,
            control_guidance_scale=settings.control_guidance,
            guidance_interval=settings.guidance_interval,
            guidance_rescale=settings.guidance_rescale,
            reuse_every=settings.reuse,
            grain_strength=settings.grain,
            control_uses=self.uses(
                [request.regions for request in batch],
                {name for given in controls for name in given.given},
                batch[0].tile.shape,
            ),
            # Drawn on the CPU, so that the noise does not depend on the device.
            generator=[torch.Generator().manual_seed(request.seed) for request in batch],
        )
        if not np.isfinite(result.images).all():
            raise ValueError("the networks made NaN or infinite values, which are no image")
        pixels = np.round(result.images * 255).astype(np.uint8)
        return [np.ascontiguousarray(image.transpose(2, 0, 1)) for image in pixels]

    def uses(
        self,
        regions: Sequence[Mapping[str, NDArray[np.float32]]],
        given: set[str],
        shape: tuple[int, int],
    ) -> dict[str, ControlUse]:
        """How the controls are used that are given, of those that something is said of.

        Args:
            regions: where controls hold in each image, (rows, cols) by name.
            given: names of the controls that are given.
            shape: (rows, cols).
        """
        strengths, intervals = self.settings.strengths, self.settings.intervals
        bounded = {name for of_image in regions for name in of_image}
        uses = {}
        for name in given & (strengths.keys() | intervals.keys() | bounded):
            region = None
            if name in bounded:
                everywhere = np.ones(shape, dtype=np.float32)
                region = torch.from_numpy(np.stack([r.get(name, everywhere) for r in regions]))
            interval = intervals.get(name, (0.0, 1.0))
            uses[name] = ControlUse(strengths.get(name, 1.0), interval, region)
        return uses

    def metadata(self, tile: Tile) -> Tensor:
        """Metadata of a tile, (7,); what the model has not learned to read is left out."""
        embedding = self.pipe.metadata_embedding
        fields = _fields(self.settings.date, tile)
        if embedding.null is not None:
            fields = {name: v for name, v in fields.items() if embedding.knows(name, v)}
        row: Tensor = embedding.pack(fields)
        return row

    def _prompt(self, of_place: str | None) -> str:
        return self.settings.prompt if of_place is None else of_place

    def sees(self, control: str) -> bool:
        """Whether the model was trained on a control."""
        return control in self.pipe.config.trained_controls

    def notes(self, gsd_m: float, controls: Sequence[str] = ()) -> list[str]:
        """What of the settings the model cannot follow, one sentence each."""
        notes = []
        unknown_controls = [c for c in controls if c not in self.pipe.config.trained_controls]
        if unknown_controls:
            notes.append(
                f"The model was not trained on the controls {', '.join(unknown_controls)}; they "
                "are left out."
            )
        guidance = self.settings.guidance
        if self.settings.negative_prompt and guidance is not None and guidance <= 1:
            notes.append(
                f"At a guidance scale of {guidance:g} nothing leads away from the negative prompt; "
                "give --guidance above 1."
            )
        encoder, embedding = self.pipe.text_encoder, self.pipe.metadata_embedding
        if isinstance(encoder, CaptionEncoder):
            prompts = {
                "prompt": self.settings.prompt,
                "negative prompt": self.settings.negative_prompt,
            }
            for what, prompt in prompts.items():
                if unknown := encoder.unknown_words(prompt):
                    notes.append(f"The model does not know these words of the {what}: {unknown}.")
        asked: dict[str, float] = {"gsd": gsd_m}
        if date := self.settings.date:
            asked |= {"year": date.year, "month": date.month, "day": date.day}
        for name, value in asked.items():
            if not embedding.knows(name, value):
                limits = embedding.config.ranges[FIELDS.index(name)]
                seen = (
                    "only " + " to ".join(f"{v:g}" for v in sorted({*limits})) if limits else "none"
                )
                notes.append(f"The model was trained on {seen} of {name}, not on {value:g}.")
        return notes

    def describe(self) -> dict[str, object]:
        """The model and everything that decides a tile's pixels besides its request; JSON-able."""
        style = None
        if self.style is not None:
            style = hashlib.sha256(self.style.cpu().numpy().tobytes()).hexdigest()
        settings = asdict(self.settings)
        settings["date"] = self.settings.date.isoformat() if self.settings.date else None
        return {
            "model": self.model,
            "weights_sha256": self.digest,
            **settings,
            "style_sha256": style,
            "device": self.device.type,
            "dtype": self.acceleration.dtype,
            "acceleration": asdict(self.acceleration),
            # In it pieces of an image meet, which is more than another rounding.
            **({"vae_tiling": True} if self.acceleration.vae_tiling else {}),
            "versions": {name: version(name) for name in ("rsaug", "torch", "diffusers")},
            "network": {
                "architecture": "Latent diffusion with control adapters (CRS-Diff)",
                "parameters": _parameters(self.pipe),
                "artifact": "diffusers.DiffusionPipeline.save_pretrained",
                "definition": INDEX,
                "files": {name: asdict(file) for name, file in self.files.items()},
            },
        }

    def seconds_per_tile(self, tile_size: int) -> float:
        """Estimate from timing a call of one step and one of three."""
        request = _blank_request(tile_size)
        times = []
        for steps in (1, 1, 3):
            began = time.perf_counter()
            self._generate([request] * self.batch_size, steps)
            times.append((time.perf_counter() - began) / self.batch_size)
        a_step = max(0.0, (times[2] - times[1]) / 2)
        return times[1] + ((self.settings.steps or 1) - 1) * a_step


def load_generator(
    model: str | Path = "default",
    settings: Settings | None = None,
    *,
    style: str | Path | None = None,
    device: str | None = None,
    acceleration: Acceleration | None = None,
    tile_size: int = 256,
    workers: int | None = None,
) -> CRSDiffGenerator:
    """A generator of tiles; what is not given is the model's own choice.

    Args:
        model: ``default``, a folder saved by :class:`CRSDiffPipeline`, or a hub id.
        settings: how tiles are made.
        style: image file whose look is taken over.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; the GPU where there is one.
        acceleration: how the networks are run.
        tile_size: side of the tiles in pixels.
        workers: on a CPU, how many tiles are made at once; None for as many as there are cores.

    Raises:
        InputError: for a model that cannot be loaded or a value it cannot work with.
    """
    model = str(model)
    settings = settings or Settings()
    settings.check()
    where = pick_device(device)
    acceleration = (acceleration or Acceleration()).resolved(where)
    acceleration.check(where)
    if settings.reuse > 1 and (acceleration.compile or acceleration.offload):
        raise InputError(
            "Networks that are compiled or offloaded cannot take over features from step to step; "
            "leave --reuse out, or the other."
        )
    folder = model_folder(model)
    look = _read_style(Path(style)) if style else None
    pipe = load_pipeline(folder, where, acceleration)
    if tile_size % pipe.side_px:
        raise InputError(
            f"The tile size must be a multiple of {pipe.side_px} for this model, not {tile_size}."
        )
    if look is not None and not pipe.reads_content:
        raise InputError(
            "This model has no image encoder, so it can take no style; convert it with one, or "
            "leave --style out."
        )
    settings = settings.resolved(pipe)
    pipe.scheduler = SCHEDULERS[str(settings.scheduler)].from_config(pipe.scheduler.config)
    files = model_files(folder)
    return CRSDiffGenerator(pipe, settings, look, model, files, where, acceleration, workers)


def _parameters(pipe: CRSDiffPipeline) -> int:
    """How many numbers the networks of a pipeline were trained to."""
    networks = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    return sum(weight.numel() for network in networks for weight in network.parameters())


def _read_style(path: Path) -> Tensor:
    """The middle of an image, (1, 3, h, w) in [-1, 1], its sides multiples of 32."""
    rgb = read_rgb(path)
    sides = [min(_STYLE_SIDE, side // 32 * 32) for side in rgb.shape[1:]]
    if not all(sides):
        raise InputError(f"{path} is {rgb.shape[1:]} pixels; a style needs 32x32 at least.")
    top, left = ((have - take) // 2 for have, take in zip(rgb.shape[1:], sides, strict=True))
    middle = rgb[:, top : top + sides[0], left : left + sides[1]]
    return torch.from_numpy(middle)[None].float() / 127.5 - 1


def _fields(date: dt.date | None, tile: Tile) -> dict[str, float]:
    lon, lat = tile.lonlat
    fields = {"gsd": round(tile.gsd_m, 4), "latitude": lat, "longitude": lon}
    if date:
        fields |= {"year": date.year, "month": date.month, "day": date.day}
    return fields


def _blank_request(tile_size: int) -> TileRequest:
    from affine import Affine
    from pyproj import CRS

    from rsaug.conditions.stack import ControlStack

    tile = Tile.from_transform(
        Affine(1, 0, 500_000, 0, -1, 5_000_000), (tile_size, tile_size), CRS.from_epsg(32633)
    )
    maps = np.zeros((3 * len(SLOTS), tile_size, tile_size), dtype=np.float32)
    return TileRequest(tile, ControlStack(maps, (False,) * len(SLOTS)), 0, 0)
