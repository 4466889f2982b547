"""A converted model against an independent rendering of the published one, part by part and whole.

The rendering has the published names, the checkpoint is written from it, and both then run.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from pyproj import CRS
from rendering.checkpoint import published_checkpoint, released_model
from rendering.metadata import LOWEST, no_metadata
from rendering.released import Conditions, Released
from rendering.sampling import ddim_timesteps, guided_noise, guided_step, sample, unconditional
from tinyclip import token_ids, write_clip
from torch import Tensor

from rsaug.conditions.stack import SLOTS, ControlStack
from rsaug.grid import Tile
from rsaug.pipelines.convert.convert import convert_checkpoint
from rsaug.pipelines.generate import load_generator
from rsaug.pipelines.guidance import Guidance
from rsaug.pipelines.metadata import FIELDS
from rsaug.pipelines.models import load_pipeline
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.settings import Settings
from rsaug.requests import TileRequest

SIZE = (64, 128)
LATENT = (2, 4, 8, 16)
METADATA = torch.tensor(
    [[2019.0, 6.0, 30.0, 0.6, 10.0, 37.5, -122.0], [1987.0, 12.0, 1.0, 4.2, 0.0, -33.0, 151.0]]
)
PROMPTS = ("a road", "dense houses by a river")
NEGATIVE = "blurry"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted model."""
    where = tmp_path_factory.mktemp("published")
    published_checkpoint(where / "last.ckpt", position_ids=True)
    convert_checkpoint(where / "last.ckpt", where / "model", clip=str(write_clip(where / "clip")))
    return where / "model"


@pytest.fixture(scope="module")
def released() -> Released:
    """The rendering with the same weights."""
    return released_model()


@pytest.fixture
def pipe(folder: Path) -> CRSDiffPipeline:
    """The converted model, in single precision."""
    return load_pipeline(folder, torch.device("cpu"))


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def maps() -> Tensor:
    """Six maps for two tiles; two are absent from the first, all but the roads from the second."""
    values = torch.rand((2, 18, *SIZE), generator=torch.Generator().manual_seed(1))
    values[0, :6] = 0
    values[1, :9] = values[1, 12:] = 0
    return values


def present() -> Tensor:
    return torch.tensor([[0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 0, 0]]).float()


def content_image() -> Tensor:
    return normal(1, 3, 48, 80, seed=2).clamp(-1, 1)


def conditions(pipe: CRSDiffPipeline, released: Released) -> Conditions:
    """What the rendering is told; of the pipeline only CLIP's image model, which both have."""
    embedding = pipe.encode_content(content_image(), 2)
    return Conditions(
        text=torch.cat([released.encode_text(token_ids(prompt)) for prompt in PROMPTS]),
        maps=maps(),
        global_control=torch.cat([embedding, torch.full_like(embedding, 7.0)], 1),
        metadata=METADATA,
    )


def negative_text(released: Released) -> Tensor:
    return released.encode_text(token_ids(NEGATIVE)).expand(2, -1, -1)


def assert_equal(ours: Tensor, theirs: Tensor) -> None:
    """To 1e-4 of values that are about 1 and that vary."""
    assert ours.shape == theirs.shape
    assert theirs.std() > 0.05
    scale = max(1.0, theirs.abs().max().item() / 4)
    assert (ours - theirs).abs().max() <= 1e-4 * scale


def test_residuals_of_the_adapter(pipe: CRSDiffPipeline, released: Released) -> None:
    x, times, context = normal(*LATENT), torch.tensor([981, 21]), normal(2, 81, 32, seed=3)
    modulation = pipe.local_adapter.encode_controls(maps(), present())
    ours = pipe.local_adapter(x, times, context, modulation)
    theirs = released.local_adapter(x, times, context, maps())
    assert len(theirs) == 13
    for mine, other in zip((*ours.down, ours.mid), theirs, strict=True):
        assert_equal(mine, other)


def test_an_absent_map_is_a_black_one(pipe: CRSDiffPipeline) -> None:
    given = pipe.local_adapter.encode_controls(maps(), present())
    whole = pipe.local_adapter.encode_controls(maps(), torch.ones(2, 6))
    assert all(
        a.equal(b)
        for pair, other in zip(given, whole, strict=True)
        for a, b in zip(pair, other, strict=True)
    )


def test_metadata(pipe: CRSDiffPipeline, released: Released) -> None:
    assert_equal(pipe.metadata_embedding(METADATA), released.metadata_emb(METADATA))
    absent = torch.full((1, 7), torch.nan)
    assert_equal(pipe.metadata_embedding(absent), released.metadata_emb(no_metadata()))
    partly = pipe.metadata_embedding.pack({"gsd": 0.6, "latitude": 37.5})[None]
    filled = torch.tensor([[*LOWEST]])
    filled[0, FIELDS.index("gsd")], filled[0, FIELDS.index("latitude")] = 0.6, 37.5
    assert_equal(pipe.metadata_embedding(partly), released.metadata_emb(filled))


def test_metadata_beyond_the_published_ranges_is_clamped(pipe: CRSDiffPipeline) -> None:
    with pytest.warns(UserWarning, match="nearest end"):
        row = pipe.metadata_embedding.pack({"year": 2026})
    assert row[0] == 2024


def test_content(pipe: CRSDiffPipeline, released: Released) -> None:
    for embedding in (normal(2, 32), torch.zeros(2, 32)):
        theirs = released.global_content_adapter(embedding)
        assert theirs.shape == (2, 4, 32)
        assert_equal(pipe.content_adapter(embedding), theirs)


def test_text(pipe: CRSDiffPipeline, released: Released) -> None:
    for prompt in (*PROMPTS, "", "a b c " * 40):
        ids = token_ids(prompt, 200)[:, :77]
        ids[:, 76] = token_ids("")[0, 76]
        assert_equal(pipe.encode_prompt([prompt]), released.encode_text(ids))


def test_images_to_latents_and_back(pipe: CRSDiffPipeline, released: Released) -> None:
    latents, images = normal(*LATENT), normal(2, 3, *SIZE).clamp(-1, 1)
    assert_equal(pipe.decode_latents(latents), released.first_stage_model.decode(latents))
    assert_equal(pipe.encode_images(images), released.first_stage_model.encode(images))


def test_a_guided_step(pipe: CRSDiffPipeline, released: Released) -> None:
    given = conditions(pipe, released)
    negative = unconditional(given, negative_text(released))
    denoiser = pipe.denoiser(
        maps(), present(), PROMPTS, NEGATIVE, content_image(), 1.0, METADATA, Guidance(7.5), {}, 1.0
    )
    assert all(context.shape[1] == 81 for context in denoiser.contexts.values())
    pipe.scheduler.set_timesteps(50)
    assert pipe.scheduler.timesteps.tolist() == ddim_timesteps(50)[::-1]
    x = normal(*LATENT)
    for k in (0, 25, 49):
        time = pipe.scheduler.timesteps[k]
        ours = denoiser(x, time, k / 50)
        assert_equal(ours, guided_noise(released.predict, x, int(time), given, negative))
        after = guided_step(released.predict, x, 49 - k, given, negative)
        assert_equal(pipe.scheduler.step(ours, time, x)[0], after)


@pytest.mark.parametrize("eta", [0.0, 0.2])
def test_a_whole_sample(pipe: CRSDiffPipeline, released: Released, eta: float) -> None:
    ours = pipe(
        maps()[:1],
        present()[:1],
        prompt=PROMPTS[0],
        negative_prompt=NEGATIVE,
        content_image=content_image(),
        metadata=METADATA[:1],
        num_inference_steps=4,
        eta=eta,
        latents=normal(1, *LATENT[1:], seed=4),
        output_type="latent",
        generator=[torch.Generator().manual_seed(5)],
    ).images
    both = conditions(pipe, released)
    theirs = sample(
        released.predict,
        normal(1, *LATENT[1:], seed=4),
        Conditions(both.text[:1], both.maps[:1], both.global_control[:1], both.metadata[:1]),
        negative_text(released)[:1],
        steps=4,
        eta=eta,
        generator=torch.Generator().manual_seed(5),
    )
    assert_equal(ours, theirs)


def test_every_condition_counts(pipe: CRSDiffPipeline, released: Released) -> None:
    """Else parity would say nothing of the one that does not."""
    given, x, times = conditions(pipe, released), normal(*LATENT), torch.tensor([500, 500])
    plain = released.predict(x, times, given)
    changes = {
        "text": given.text.flip(0),
        "maps": given.maps.roll(3, 1),
        "metadata": given.metadata.flip(0),
        "global_control": torch.zeros_like(given.global_control),
    }
    for name, value in changes.items():
        other = released.predict(x, times, replace(given, **{name: value}))
        assert (other - plain).abs().max() > 0.01, name


def test_a_tile_of_a_run(folder: Path, released: Released) -> None:
    """From a road map and a date to pixels, with the published order of maps and ranges."""
    generator = load_generator(
        str(folder), Settings(prompt=PROMPTS[0], date=dt.date(2026, 5, 3), steps=4), tile_size=64
    )
    tile = Tile.from_transform(
        Affine(0.6, 0, 500_000, 0, -0.6, 4_000_000), (64, 64), CRS.from_epsg(32610)
    )
    road = torch.zeros(18, 64, 64)
    road[9:12, 20:30] = 1
    request = TileRequest(
        tile, ControlStack(road.numpy(), tuple(slot == "road" for slot in SLOTS)), 0, 9
    )
    with pytest.warns(UserWarning, match="nearest end"):
        (image,) = generator.generate([request])
    lon, lat = tile.lonlat
    given = Conditions(
        text=released.encode_text(token_ids(PROMPTS[0])),
        maps=road[None],
        global_control=torch.zeros(1, 64),
        metadata=torch.tensor([[2024, 5, 3, round(tile.gsd_m, 4), 0, lat, lon]]),
    )
    latents = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(9))
    empty = released.encode_text(token_ids(""))
    latents = sample(released.predict, latents, given, empty, steps=4)
    theirs = (released.first_stage_model.decode(latents)[0] / 2 + 0.5).clamp(0, 1) * 255
    assert np.ptp(image) > 100
    assert np.abs(image - theirs.numpy()).max() <= 0.51


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_finite_and_near(pipe: CRSDiffPipeline, dtype: torch.dtype) -> None:
    def latents() -> Tensor:
        out: Tensor = pipe(
            maps(),
            present(),
            prompt=PROMPTS,
            content_image=content_image(),
            metadata=METADATA,
            num_inference_steps=2,
            latents=normal(*LATENT, seed=4),
            output_type="latent",
        ).images
        return out

    full = latents()
    pipe.to(dtype)
    half = latents()
    assert torch.isfinite(half).all()
    assert torch.isfinite(pipe.decode_latents(half)).all()
    assert (half - full).std() < (0.2 if dtype == torch.bfloat16 else 0.02) * full.std()
