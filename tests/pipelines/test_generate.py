"""What a generator of tiles has to do."""

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from safetensors.torch import load_file
from toy import SIDE, toy_pipeline

from rsaug.conditions.stack import ControlStack
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.modelfiles import digest_of, folder_digest
from rsaug.pipelines.acceleration import Acceleration
from rsaug.pipelines.generate import load_generator
from rsaug.pipelines.settings import Settings
from rsaug.raster import write_cog
from rsaug.requests import TileRequest


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    toy_pipeline().save_pretrained(folder)
    return folder


def tile(gsd_m: float = 0.6) -> Tile:
    transform = Affine(gsd_m, 0, 380_000, 0, -gsd_m, 3_800_000)
    return Tile.from_transform(transform, (SIDE, SIDE), CRS.from_epsg(32611))


def request(seed: int, *, road: bool = True) -> TileRequest:
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[20:30] = 1
    maps = {"road": mask} if road else {}
    return TileRequest(tile(), ControlStack.from_maps((SIDE, SIDE), **maps), 0, seed)


def test_images_of_requests(model: Path) -> None:
    generator = load_generator(str(model), device="cpu", tile_size=SIDE)
    images = generator.generate([request(1), request(2)])
    assert [i.shape for i in images] == [(3, SIDE, SIDE)] * 2
    assert all(i.dtype == np.uint8 for i in images)
    assert (images[0] != images[1]).any()


def test_bytes_do_not_depend_on_company(model: Path) -> None:
    generator = load_generator(str(model), device="cpu", tile_size=SIDE)
    requests = [request(seed) for seed in range(4)]
    together = generator.generate(requests)
    for one, image in zip(requests, together, strict=True):
        np.testing.assert_array_equal(generator.generate([one])[0], image)


def test_bytes_do_not_depend_on_how_many_are_made_at_once(model: Path) -> None:
    requests = [request(seed) for seed in range(5)]
    made = []
    for workers in (1, 2, 4):
        generator = load_generator(str(model), device="cpu", tile_size=SIDE, workers=workers)
        assert generator.batch_size == workers
        made.append(generator.generate(requests))
    for other in made[1:]:
        np.testing.assert_array_equal(made[0], other)


def test_lanes_leave_the_threads_of_the_caller_alone(model: Path) -> None:
    before = torch.get_num_threads()
    generator = load_generator(str(model), device="cpu", tile_size=SIDE, workers=2)
    generator.generate([request(1), request(2)])
    assert torch.get_num_threads() == before


def test_what_is_no_image_is_refused(model: Path) -> None:
    generator = load_generator(str(model), device="cpu", tile_size=SIDE)
    with torch.no_grad():
        next(generator.pipe.vae.decoder.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match="NaN or infinite"):
        generator.generate([request(1)])


def test_a_text_of_the_place_goes_before_that_of_the_run(model: Path) -> None:
    generator = load_generator(str(model), Settings(prompt="road"), device="cpu", tile_size=SIDE)
    desert = load_generator(str(model), Settings(prompt="desert"), device="cpu", tile_size=SIDE)
    here = replace(request(1), prompt="desert")
    np.testing.assert_array_equal(generator.generate([here]), desert.generate([request(1)]))
    assert (generator.generate([here])[0] != generator.generate([request(1)])[0]).any()


def test_a_full_batch_is_one_shape(model: Path) -> None:
    """Filled-up batches, as on a GPU: the same bytes for one request and for many."""
    generator = load_generator(str(model), device="cpu", tile_size=SIDE)
    generator.batch_size, generator.lanes = 4, None
    requests = [request(seed) for seed in range(6)]
    together = generator.generate(requests)
    np.testing.assert_array_equal(generator.generate(requests[4:5])[0], together[4])


def test_controls_that_the_model_does_not_know_are_left_out(model: Path) -> None:
    generator = load_generator(str(model), device="cpu", tile_size=SIDE)
    generator.pipe.register_to_config(trained_controls=["road", "seg"])
    plain, depth = request(1), np.full((SIDE, SIDE), 0.7)
    more = ControlStack.from_maps((SIDE, SIDE), road=plain.controls.slot("road"), depth=depth)
    image = generator.generate([plain])[0]
    np.testing.assert_array_equal(generator.generate([replace(plain, controls=more)])[0], image)
    notes = generator.notes(gsd_m=0.6, controls=("road", "depth"))
    assert notes == ["The model was not trained on the controls depth; they are left out."]


def test_description_is_complete(model: Path, tmp_path: Path) -> None:
    style = tmp_path / "style.tif"
    rgb = np.random.default_rng(0).integers(0, 255, (3, SIDE, SIDE), dtype=np.uint8)
    write_cog(style, rgb, tile())
    generator = load_generator(
        str(model),
        Settings(
            prompt="road",
            date=dt.date(2018, 6, 1),
            scheduler="dpm++",
            strengths={"road": 0.5},
            intervals={"seg": (0.0, 0.6)},
        ),
        style=style,
        device="cpu",
        tile_size=SIDE,
    )
    described = generator.describe()
    assert described["weights_sha256"] == folder_digest(model)
    assert described["steps"] == 3
    assert described["guidance"] == 2.0
    assert described["control_guidance"] == 2.0
    assert described["scheduler"] == "dpm++"
    assert described["strengths"] == {"road": 0.5}
    assert json.loads(json.dumps(described))["intervals"] == {"seg": [0.0, 0.6]}
    assert described["date"] == "2018-06-01"
    assert len(str(described["style_sha256"])) == 64
    network: Any = described["network"]
    assert (
        digest_of({name: f["sha256"] for name, f in network["files"].items()}) == generator.digest
    )
    assert network["definition"] in network["files"]
    weights = [load_file(path) for path in model.rglob("*.safetensors")]
    assert network["parameters"] <= sum(t.numel() for state in weights for t in state.values())
    plain = load_generator(str(model), Settings(scheduler="dpm++"), device="cpu", tile_size=SIDE)
    assert (generator.generate([request(1)])[0] != plain.generate([request(1)])[0]).any()


def test_notes_say_what_cannot_be_followed(model: Path) -> None:
    generator = load_generator(
        str(model),
        Settings(prompt="road to Rome", negative_prompt="grey", date=dt.date(2030, 6, 1)),
        device="cpu",
        tile_size=SIDE,
    )
    notes = " ".join(generator.notes(gsd_m=0.3))
    for part in (
        "'to', 'rome'",
        "negative prompt: ['grey']",
        "2016 to 2020 of year",
        "none of month",
        "of gsd",
    ):
        assert part in notes
    unguided = Settings(guidance=1.0, negative_prompt="desert")
    generator = load_generator(str(model), unguided, device="cpu", tile_size=SIDE)
    assert "nothing leads away from the negative prompt" in " ".join(generator.notes(gsd_m=0.6))
    quiet = load_generator(str(model), Settings(prompt="road"), device="cpu", tile_size=SIDE)
    assert quiet.notes(gsd_m=0.6) == []


def test_weights_count_in_the_digest(model: Path, tmp_path: Path) -> None:
    toy_pipeline().save_pretrained(tmp_path)
    assert folder_digest(tmp_path) == folder_digest(model)
    path = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert folder_digest(tmp_path) != folder_digest(model)


def test_estimate_is_positive(model: Path) -> None:
    generator = load_generator(str(model), device="cpu", tile_size=SIDE)
    assert 0 < generator.seconds_per_tile(SIDE) < 60


def test_controls_are_used_as_the_settings_and_the_request_say(model: Path) -> None:
    def image(settings: Settings, request: TileRequest) -> NDArray[np.uint8]:
        generator = load_generator(str(model), settings, device="cpu", tile_size=SIDE)
        return generator.generate([request])[0]

    half = np.zeros((SIDE, SIDE), dtype=np.float32)
    half[:, : SIDE // 2] = 1
    plain, without = image(Settings(), request(1)), image(Settings(), request(1, road=False))
    inside = image(Settings(), replace(request(1), regions={"road": half}))
    made = [
        image(Settings(strengths={"road": 0.5}), request(1)),
        image(Settings(intervals={"road": (0.0, 0.5)}), request(1)),
        image(Settings(guidance=2.0, control_guidance=1.0), request(1)),
        image(Settings(guidance_rescale=0.7), request(1)),
        image(Settings(guidance_interval=(0.0, 0.4)), request(1)),
        inside,
    ]
    for k, other in enumerate([plain, *made]):
        assert all((other != one).any() for one in [plain, *made][:k])
    np.testing.assert_array_equal(image(Settings(strengths={"road": 0}), request(1)), without)
    nowhere = replace(request(1), regions={"road": np.zeros_like(half)})
    assert np.abs(image(Settings(), nowhere).astype(int) - without).max() <= 1


def test_a_use_of_a_control_that_is_not_there_is_none(model: Path) -> None:
    """Of a tile that lacks a layer there is nothing to steer."""
    generator = load_generator(
        str(model), Settings(strengths={"seg": 0.5}), device="cpu", tile_size=SIDE
    )
    plain = load_generator(str(model), device="cpu", tile_size=SIDE)
    image, other = (g.generate([request(1)])[0] for g in (generator, plain))
    np.testing.assert_array_equal(image, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": Settings(scheduler="magic")}, "No scheduler"),
        ({"settings": Settings(steps=0)}, "number of steps"),
        ({"settings": Settings(guidance=float("nan"))}, "guidance scale"),
        ({"settings": Settings(control_guidance=-1.0)}, "guidance scale of the controls"),
        ({"settings": Settings(style_strength=-1.0)}, "strength of the style"),
        ({"settings": Settings(guidance_rescale=1.1)}, "share of 0 to 1"),
        (
            {"settings": Settings(reuse=2), "acceleration": Acceleration(compile=True)},
            "leave --reuse out",
        ),
        ({"device": "abacus"}, "device 'abacus'"),
        ({"device": "meta"}, "device 'meta'"),
        ({"tile_size": 60}, "multiple of 16"),
        ({"model": "no-such-folder"}, "no model folder"),
        ({"model": "."}, "no CRS-Diff model"),
    ],
)
def test_bad_values(model: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_generator(**{"model": str(model), "device": "cpu", "tile_size": SIDE, **change})


def test_broken_weights(model: Path, tmp_path: Path) -> None:
    toy_pipeline().save_pretrained(tmp_path)
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_generator(str(tmp_path), device="cpu", tile_size=SIDE)


def test_style_must_be_an_image(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "style.tif"
    path.write_text("no image")
    with pytest.raises(InputError, match="cannot be read"):
        load_generator(str(model), style=path, device="cpu", tile_size=SIDE)
