"""What the editor keeps and what it makes anew, with a model of toy size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import toy_pipeline

from rsaug.compositing import reduce
from rsaug.conditions.stack import ControlStack
from rsaug.editing import Picture
from rsaug.edits import Edit, Inpaint, Restyle, Upscale
from rsaug.pipelines.editing import CRSDiffEditor
from rsaug.pipelines.generate import load_generator
from rsaug.pipelines.settings import Settings

Make = Callable[..., CRSDiffEditor]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Editors on one toy model, by edit and settings."""
    folder = tmp_path_factory.mktemp("model") / "toy"
    toy_pipeline().save_pretrained(folder)

    def editor(edit: Edit, **settings: Any) -> CRSDiffEditor:
        generator = load_generator(
            str(folder), Settings(**{"steps": 3, **settings}), device="cpu", tile_size=64
        )
        return CRSDiffEditor(generator, edit)

    return editor


def picture(rows: int = 70, cols: int = 90, *, factor: int = 1, road: bool = True) -> Picture:
    """Noise with a road over it, of sides that are no multiples of anything."""
    rgb = np.random.default_rng(4).integers(0, 256, (3, rows, cols)).astype(np.uint8)
    mask = np.zeros((rows * factor, cols * factor), dtype=np.uint8)
    mask[20:40] = 1
    maps = {"road": mask} if road else {}
    return Picture(rgb, ControlStack.from_maps(mask.shape, **maps), seed=5, fields={"year": 2018})


def hole(given: Picture, box: tuple[slice, slice] = (slice(30, 45), slice(50, 71))) -> Picture:
    mask = np.zeros(given.rgb.shape[1:], dtype=bool)
    mask[box] = True
    return replace(given, mask=mask)


def test_restyled_pictures_have_the_size_and_follow_the_strength(make: Make) -> None:
    given = picture()
    made = {s: make(Restyle(s), steps=4).edit(given) for s in (0.0, 0.1, 0.5, 1.0)}
    assert all(m.shape == given.rgb.shape and m.dtype == np.uint8 for m in made.values())
    # No step is done, so nothing is made anew: not even the autoencoder is asked.
    np.testing.assert_array_equal(made[0.0], given.rgb)
    np.testing.assert_array_equal(made[0.1], given.rgb)
    assert (made[0.5] != made[1.0]).any()


@pytest.mark.parametrize(
    ("edit", "factor"), [(Restyle(0.7), 1), (Inpaint(2), 1), (Upscale(2, 0.7), 2)]
)
def test_same_seed_same_bytes_and_everything_counts(make: Make, edit: Edit, factor: int) -> None:
    given = hole(picture(factor=factor))
    made = make(edit).edit(given)
    np.testing.assert_array_equal(make(edit).edit(given), made)
    bare = ControlStack.from_maps(given.controls.maps.shape[1:])
    others = {
        "seed": make(edit).edit(replace(given, seed=6)),
        "controls": make(edit).edit(replace(given, controls=bare)),
        "metadata": make(edit).edit(replace(given, fields={"year": 2016})),
        "prompt": make(edit, prompt="desert").edit(given),
        "guidance": make(edit, guidance=5.0).edit(given),
    }
    for what, other in others.items():
        assert (other != made).any(), what


def test_what_the_model_does_not_know_makes_no_difference(make: Make) -> None:
    given = picture()
    stranger = replace(given, fields={"year": 2018, "gsd": 5.0, "cloud_cover": 30.0})
    made = make(Restyle(0.7)).edit(given)
    np.testing.assert_array_equal(make(Restyle(0.7)).edit(stranger), made)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++", "unipc", "euler"])
def test_outside_the_mask_every_byte_stays(make: Make, scheduler: str) -> None:
    given = hole(picture())
    assert given.mask is not None
    made = make(Inpaint(2), scheduler=scheduler).edit(given)
    np.testing.assert_array_equal(made[:, ~given.mask], given.rgb[:, ~given.mask])
    assert (made[:, given.mask] != given.rgb[:, given.mask]).mean() > 0.5


@pytest.mark.parametrize("edit", [Restyle(0.7), Inpaint(1), Upscale(2, 0.7)])
def test_what_is_made_has_grain_and_what_is_kept_has_not(make: Make, edit: Edit) -> None:
    given = hole(picture(64, 64, factor=getattr(edit, "factor", 1)))
    assert given.mask is not None
    made = {}
    for grain in (0.0, 1.0):
        editor = make(edit, grain=grain)
        editor.canvas.register_to_config(grain=60.0)
        made[grain] = editor.edit(given)
    assert (made[1.0] != made[0.0]).any()
    if isinstance(edit, Inpaint):
        np.testing.assert_array_equal(made[1.0][:, ~given.mask], given.rgb[:, ~given.mask])


def test_what_is_under_the_mask_does_not_matter(make: Make) -> None:
    """Not even beside the mask: the model sees none of it."""
    given = hole(picture(128, 128))
    assert given.mask is not None
    other = given.rgb.copy()
    other[:, given.mask] = 255 - other[:, given.mask]
    one = make(Inpaint(1), steps=4).edit(given)
    two = make(Inpaint(1), steps=4).edit(replace(given, rgb=other))
    # What reaches the encoding of cells two away from the mask is next to nothing.
    difference = np.abs(one.astype(int) - two)[:, given.mask]
    assert difference.mean() < 2


def test_far_from_the_mask_nothing_is_looked_at(make: Make) -> None:
    rgb = np.random.default_rng(4).integers(0, 256, (3, 80, 500)).astype(np.uint8)
    wide = hole(Picture(rgb, ControlStack.from_maps((80, 500)), 5), (slice(30, 40), slice(10, 30)))
    changed = rgb.copy()
    changed[:, :, 300:] = 0
    one, two = (make(Inpaint(1)).edit(replace(wide, rgb=each)) for each in (rgb, changed))
    np.testing.assert_array_equal(one[:, :, :300], two[:, :, :300])


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("strength", [0.0, 0.7])
def test_enlarged_pictures_average_to_what_they_were(
    make: Make, factor: int, strength: float
) -> None:
    given = picture(66, 70, factor=factor)
    made = make(Upscale(factor, strength)).edit(given)
    assert made.shape == (3, 66 * factor, 70 * factor)
    np.testing.assert_array_equal(reduce(made, factor), given.rgb)


def test_the_description_decides_and_is_json(make: Make, tmp_path: Path) -> None:
    import json

    one, two = make(Upscale(2, 0.5)).describe(), make(Upscale(4, 0.5)).describe()
    assert json.loads(json.dumps(one)) != json.loads(json.dumps(two))
    assert (one["edit"], one["factor"], one["steps"]) == ("upscale", 2, 3)


def test_a_picture_without_a_mask_cannot_be_filled_in(make: Make) -> None:
    with pytest.raises(ValueError, match="needs a mask"):
        make(Inpaint()).edit(picture())


@pytest.mark.parametrize("edit", [Restyle(1.0), Inpaint(1), Upscale(2, 1.0)])
@pytest.mark.parametrize(
    "settings", [{"reuse": 3}, {"strengths": {"road": 0.0}}, {"intervals": {"road": (0.0, 0.5)}}]
)
def test_no_setting_is_without_effect(make: Make, edit: Edit, settings: dict[str, Any]) -> None:
    given = hole(picture(factor=edit.factor if isinstance(edit, Upscale) else 1))
    if isinstance(edit, Inpaint):
        given = hole(given, (slice(16, 48), slice(16, 64)))
    assert (make(edit, **settings).edit(given) != make(edit).edit(given)).any()


def test_a_strength_of_no_step_is_told(make: Make) -> None:
    (note,) = make(Restyle(0.1), steps=4).notes(0.6)
    assert note.startswith("A strength of 0.1 is less than half of one of 4 steps")
    assert make(Restyle(0.0), steps=4).notes(0.6) == []
    assert make(Restyle(0.5), steps=4).notes(0.6) == []
