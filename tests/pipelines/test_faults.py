"""Networks that fail: memory that does not suffice, weights that are no numbers."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painter import Painter, contents, write_roads
from safetensors.torch import load_file, save_file
from toy import SIDE, toy_pipeline

from rsaug.conditions.stack import ControlStack
from rsaug.errors import RunError
from rsaug.grid import Tile, parse_crs
from rsaug.options import SynthOptions
from rsaug.pipelines.generate import CRSDiffGenerator, load_generator
from rsaug.pipelines.memory import is_out_of_memory, memory_told
from rsaug.requests import TileRequest
from rsaug.synthesis import make_plan, run
from rsaug.verification import verify


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    toy_pipeline().save_pretrained(folder)
    return folder


def loaded(model: Path, workers: int = 2) -> CRSDiffGenerator:
    return load_generator(str(model), device="cpu", tile_size=SIDE, workers=workers)


def requests(count: int) -> list[TileRequest]:
    from affine import Affine

    place = Tile.from_transform(
        Affine(0.6, 0, 380_000, 0, -0.6, 3_800_000), (SIDE, SIDE), parse_crs(32611)
    )
    road = np.zeros((SIDE, SIDE), dtype=np.uint8)
    road[20:30] = 1
    stack = ControlStack.from_maps((SIDE, SIDE), road=road)
    return [TileRequest(place, stack, 0, seed) for seed in range(count)]


class Scarce:
    """Memory for one image at a time: a second one at once does not get any.

    Attributes:
        refused: How often.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self._lock, self._both = threading.Lock(), threading.Event()
        self._inside = self.refused = 0
        network.register_forward_pre_hook(self._enter)
        network.register_forward_hook(self._leave)

    def _enter(self, *_: object) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                self._inside -= 1
                self.refused += 1
                self._both.set()
                raise torch.OutOfMemoryError("out of memory")
        if not self.refused:
            self._both.wait(20)

    def _leave(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1


def test_with_memory_for_one_image_the_bytes_are_the_same(model: Path) -> None:
    wanted = loaded(model).generate(requests(2))
    generator = loaded(model)
    scarce = Scarce(generator.pipe.unet)
    made = generator.generate(requests(2))
    assert scarce.refused == 1
    for ours, theirs in zip(made, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_without_memory_for_one_image_it_is_a_memory_error(model: Path) -> None:
    generator = loaded(model)

    def refuse(*_: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")

    hook = generator.pipe.unet.register_forward_pre_hook(refuse)
    with pytest.raises(MemoryError, match="not enough memory to make an image"):
        generator.generate(requests(2))
    hook.remove()
    assert len(generator.generate(requests(1))) == 1


def test_other_errors_are_left_as_they_are() -> None:
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"), memory_told():
        raise RuntimeError("shapes do not match")


def test_lack_of_memory_ends_a_run_which_goes_on_after(tmp_path: Path) -> None:
    """It is no image's fault, so none is put aside for it."""
    roads = write_roads(tmp_path / "roads.gpkg", rows=1, cols=3)
    asked = SynthOptions(roads=str(roads), gsd=0.5, tile_size=128, out=str(tmp_path / "out"))

    class Full(Painter):
        def generate(self, orders: Any) -> Any:
            if len(self.painted) == 1:
                with memory_told():
                    raise torch.OutOfMemoryError("out of memory")
            return super().generate(orders)

    with pytest.raises(MemoryError):
        run(make_plan(asked), Full())
    assert not (tmp_path / "out" / "quarantine").exists()
    assert not list((tmp_path / "out").rglob("*.part"))
    report = run(make_plan(asked), Painter())
    assert report.progress.made + report.progress.kept == 3
    whole = replace(asked, out=str(tmp_path / "whole"))
    run(make_plan(whole), Painter())
    assert contents(tmp_path / "out", "*/*.tif") == contents(tmp_path / "whole", "*/*.tif")


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_weights_that_are_no_numbers_make_no_image(model: Path, tmp_path: Path, part: str) -> None:
    import shutil

    broken = Path(shutil.copytree(model, tmp_path / "model"))
    (path,) = (broken / part).glob("*.safetensors")
    state = load_file(path)
    save_file({name: torch.full_like(value, torch.nan) for name, value in state.items()}, path)
    roads = write_roads(tmp_path / "roads.gpkg", rows=1, cols=2)
    asked = SynthOptions(
        roads=str(roads), gsd=1.0, tile_size=SIDE, controls="road", out=str(tmp_path / "out")
    )
    with pytest.raises(RunError, match="NaN or infinite"):
        run(make_plan(asked), loaded(broken, workers=1))
    assert not list((tmp_path / "out" / "images").iterdir())
    assert list((tmp_path / "out" / "quarantine").iterdir())
    # With whole weights the same folder is filled.
    report = run(make_plan(asked), loaded(model, workers=1))
    assert report.progress.failed == 0
    assert not list((tmp_path / "out" / "quarantine").iterdir())
    assert verify(tmp_path / "out").findings == ()
