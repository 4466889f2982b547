"""Batches: which conditions a sample sees, and that all of a sample is turned together."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from toy import toy_autoencoder

from rsaug.conditions.landcover import CLASSES, PALETTE
from rsaug.conditions.stack import SLOTS
from rsaug.pipelines.train.autoencoder import to_unit
from rsaug.pipelines.train.examples import (
    ORIENTATIONS,
    Batch,
    ImageCache,
    control_maps,
    draw_batch,
    orient,
)
from rsaug.pipelines.train.mix import ConditionMix, read_mix
from rsaug.pipelines.train.pack import Pack

CPU = torch.device("cpu")
SIDE = 32


def make_pack(count: int = 3, *, has_areas: bool = True) -> Pack:
    """Random examples; the road mask is where the image is white."""
    rng = np.random.default_rng(0)
    road = rng.integers(0, 2, (count, SIDE, SIDE), dtype=np.uint8)
    rgb = np.repeat(road[..., None] * 255, 3, axis=-1).astype(np.uint8)
    edges = np.full((count, 3, SIDE, SIDE), 51, dtype=np.uint8)
    return Pack(
        rgb=rgb,
        road=road,
        areas=np.full_like(road, CLASSES.index("water")),
        vegetation=np.ones_like(road),
        seen=np.full_like(road, CLASSES.index("barren")),
        photo_edges=edges,
        map_edges=edges + np.uint8(102),
        has_areas=np.full(count, has_areas),
        has_seen=np.zeros(count, dtype=bool),
        has_map=np.ones(count, dtype=bool),
        captions=[("a road", "road")] * count,
        metadata=np.full((count, 7), 3, dtype=np.float32),
    )


def cache_of(pack: Pack) -> ImageCache:
    vae = toy_autoencoder()
    return ImageCache(pack.rgb, lambda images: vae.encode(images).latent, CPU)


def draw(pack: Pack, mix: ConditionMix, size: int = 8, seed: int = 0) -> Batch:
    odds = np.full(len(pack), 1 / len(pack))
    return draw_batch(pack, cache_of(pack), odds, mix, size, np.random.default_rng(seed))


def always(*slots: str) -> ConditionMix:
    """Nothing dropped, always these slots."""
    nothing = {"drop_text": 0.0, "drop_content": 0.0, "drop_metadata": 0.0, "drop_field": 0.0}
    return ConditionMix(((1.0, slots),), **nothing, drop_all=0)


def slot(batch: Batch, name: str) -> torch.Tensor:
    first = 3 * SLOTS.index(name)
    return batch.controls[:, first : first + 3]


def test_shapes() -> None:
    batch = draw(make_pack(), read_mix("ours"))
    assert batch.latents.shape == (8, 4, SIDE // 8, SIDE // 8)
    assert batch.controls.shape == (8, 18, SIDE, SIDE)
    assert batch.present.shape == (8, len(SLOTS))
    assert batch.content.shape == (8, 8)
    assert batch.metadata.shape == (8, 7)
    assert len(batch.prompts) == 8


def test_image_and_controls_are_turned_together() -> None:
    pack = make_pack(1)
    vae = toy_autoencoder()
    batch = draw(pack, always("road"), size=64)
    images = [orient(to_unit(torch.from_numpy(pack.rgb)), o) for o in range(ORIENTATIONS)]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        encoded = vae.encode(torch.cat(images)).latent.float()
    nearest = torch.cdist(batch.latents.flatten(1), encoded.flatten(1)).argmin(1)
    for orientation, road in zip(nearest.tolist(), slot(batch, "road"), strict=True):
        # The image is white on the road and black elsewhere.
        assert torch.equal(road[None] * 2 - 1, images[orientation])
    assert set(nearest.tolist()) == set(range(ORIENTATIONS))


def test_a_latent_does_not_depend_on_its_batch() -> None:
    pack = make_pack()
    alone, together = cache_of(pack), cache_of(pack)
    rows, turns = np.array([0, 1, 2, 1]), np.array([3, 0, 7, 5])
    batch, _ = together.get(rows, turns)
    for k in (2, 0, 3):
        latent, _ = alone.get(rows[k : k + 1], turns[k : k + 1])
        assert torch.equal(latent[0], batch[k])


def test_a_part_of_a_batch_is_that_part_of_it() -> None:
    pack, mix = make_pack(), read_mix("ours")
    pack.has_seen[:] = True
    odds = np.full(len(pack), 1 / len(pack))
    whole = draw(pack, mix)
    for part in (slice(0, 3), slice(3, 8)):
        some = draw_batch(pack, cache_of(pack), odds, mix, 8, np.random.default_rng(0), part)
        assert some.prompts == whole.prompts[part]
        for name in ("latents", "controls", "present", "content"):
            assert torch.equal(getattr(some, name), getattr(whole, name)[part])
        torch.testing.assert_close(some.metadata, whole.metadata[part], equal_nan=True)


def test_embeddings_of_a_network_take_the_place_of_statistics() -> None:
    pack = make_pack()
    vae = toy_autoencoder()
    cache = ImageCache(
        pack.rgb, lambda x: vae.encode(x).latent, CPU, lambda x: x.mean((2, 3)), full=True
    )
    _, embeddings = cache.get(np.array([2, 0]), np.array([1, 5]))
    expected = to_unit(torch.from_numpy(pack.rgb[[2, 0]])).mean((2, 3))
    torch.testing.assert_close(embeddings, expected)


def test_depth_is_not_given_as_there_is_none() -> None:
    batch = draw(make_pack(), always("road", "depth"))
    assert batch.present[:, SLOTS.index("road")].all()
    assert not batch.present[:, SLOTS.index("depth")].any()


@pytest.mark.parametrize("slots", [("road",), ("road", "seg"), ("hed",), ()])
def test_what_is_given_is_there_and_nothing_else(slots: tuple[str, ...]) -> None:
    batch = draw(make_pack(), always(*slots))
    assert batch.present.tolist() == [[float(name in slots) for name in SLOTS]] * 8
    for name in SLOTS:
        assert bool(slot(batch, name).any()) == (name in slots)
    assert set(batch.prompts) <= {"a road", "road"}
    assert batch.content.any(1).all()
    assert not batch.metadata.isnan().any()


def test_combinations_come_as_often_as_the_mix_says() -> None:
    mix = ConditionMix(((0.6, ("road",)), (0.1, ("road", "seg")), (0.3, ())))
    batch = draw(make_pack(), mix, size=600)
    found = Counter(tuple(row) for row in batch.present[:, [SLOTS.index("road"), -1]].tolist())
    for odds, key in ((0.6, (1, 0)), (0.1, (1, 1)), (0.3, (0, 0))):
        assert found[key] / 600 == pytest.approx(odds, abs=0.07)
    assert mix.slots == ("road", "seg")


def test_without_controls_all_else_goes_too() -> None:
    mix = ConditionMix(((1.0, ()),), drop_text=0, drop_content=0, drop_metadata=0, drop_all=1)
    batch = draw(make_pack(), mix)
    assert set(batch.prompts) == {""}
    assert not batch.content.any()


def test_metadata_is_dropped_as_a_whole_or_by_field() -> None:
    mix = ConditionMix(((1.0, ()),), drop_metadata=0.5, drop_field=0.2)
    lost = draw(make_pack(), mix, size=400).metadata.isnan().float().mean().item()
    assert lost == pytest.approx(0.5 + 0.5 * 0.2, abs=0.05)


def test_unknown_land_cover_is_not_called_empty() -> None:
    batch = draw(make_pack(has_areas=False), always("road", "seg"))
    assert not batch.present[:, SLOTS.index("seg")].any()
    assert not slot(batch, "seg").any()


def test_land_cover_is_thinned_out_at_random() -> None:
    pack = make_pack(1)
    pack.areas[:, : SIDE // 2] = 0
    rng = np.random.default_rng(0)
    kinds: Counter[frozenset[str]] = Counter()
    for _ in range(400):
        colours = control_maps(pack, 0, ("seg",), rng)[15:18].transpose(1, 2, 0)
        names = frozenset(
            name
            for name, colour in zip(CLASSES, PALETTE, strict=True)
            if (colours == np.float32(colour) / np.float32(255)).all(-1).any()
        )
        kinds[names - {"road", "background"}] += 1
    shares: dict[frozenset[str], float] = {key: n / 400 for key, n in kinds.items()}
    assert shares[frozenset({"water"})] == pytest.approx(0.2, abs=0.06)
    assert shares[frozenset({"forest"})] == pytest.approx(0.15, abs=0.06)
    assert shares[frozenset({"water", "forest"})] == pytest.approx(0.65, abs=0.08)


def test_half_of_the_land_cover_is_what_a_network_sees() -> None:
    pack, rng = make_pack(1), np.random.default_rng(0)
    pack.has_seen[:] = True
    barren = PALETTE[CLASSES.index("barren")] / np.float32(255)
    maps = [control_maps(pack, 0, ("seg",), rng)[15:18] for _ in range(400)]
    seen = [(each.transpose(1, 2, 0) == barren).all(-1) for each in maps]
    assert np.mean([each.any() for each in seen]) == pytest.approx(0.5, abs=0.08)
    # Roads are where they are, whatever the network says.
    assert not any(each[pack.road[0] > 0].any() for each in seen)
    pack.has_areas[:] = False
    batch = draw(pack, always("seg"))
    assert batch.present[:, SLOTS.index("seg")].all()


@pytest.mark.parametrize("name", ["mlsd", "hed", "sketch"])
def test_edges_are_scaled_and_go_to_their_slot(name: str) -> None:
    maps: NDArray[np.float32] = control_maps(make_pack(), 0, (name,))
    first = 3 * SLOTS.index(name)
    np.testing.assert_allclose(maps[first : first + 3], 0.2, rtol=1e-6)
    assert maps.sum() == pytest.approx(maps[first : first + 3].sum())


def test_half_of_the_edges_are_those_of_the_map() -> None:
    pack, rng = make_pack(), np.random.default_rng(0)
    of_map = [control_maps(pack, 0, ("hed",), rng)[3, 0, 0] > 0.5 for _ in range(400)]
    assert np.mean(of_map) == pytest.approx(0.5, abs=0.08)
    pack.has_map[:] = False
    assert all(control_maps(pack, 0, ("hed",), rng)[3, 0, 0] < 0.5 for _ in range(50))
