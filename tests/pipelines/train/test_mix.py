"""Tables of conditions: what they say is what samples see, and nothing unknown passes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsaug.conditions.stack import SLOTS
from rsaug.errors import InputError
from rsaug.pipelines.train.mix import MIXES, ConditionMix, independent_controls, read_mix

RATES = "drop_text = 0.5\ndrop_content = 0\ndrop_metadata = 0\ndrop_field = 0\ndrop_all = 0\n"
ROADS = RATES + 'controls = [{ share = 1, given = ["road"] }]\n'
probability = st.floats(0, 1)


def share_of(mix: ConditionMix, *, only: bool) -> float:
    """Share of the samples in which the road map is there, or is the only one."""
    whole = sum(share for share, _ in mix.controls)
    return (
        sum(s for s, given in mix.controls if given == ("road",) or (not only and "road" in given))
        / whole
    )


@pytest.mark.parametrize("name", MIXES)
def test_samples_see_what_the_table_says(name: str) -> None:
    mix = read_mix(name)
    rng, count = np.random.default_rng(0), 20_000
    found = Counter(mix.draw_slots(rng) for _ in range(count))
    whole = sum(share for share, _ in mix.controls)
    assert whole == pytest.approx(1)
    for share, slots in mix.controls:
        # Four standard deviations of a count.
        room = 4 * (share * (1 - share) / count) ** 0.5 + 1 / count
        assert found[slots] / count == pytest.approx(share, abs=room)


def test_the_papers_table_hardly_sees_a_road_map_alone() -> None:
    mix = read_mix("crs-diff")
    assert len(mix.controls) == 64
    assert share_of(mix, only=False) == pytest.approx(0.5)
    assert share_of(mix, only=True) == pytest.approx(0.015)
    assert mix.slots == SLOTS
    assert (mix.drop_text, mix.drop_content, mix.drop_metadata) == (0.5, 0.58, 0)
    assert share_of(read_mix("ours"), only=True) == pytest.approx(0.36)


@given(probability, probability, st.dictionaries(st.sampled_from(SLOTS), probability, min_size=1))
def test_maps_that_are_dropped_on_their_own_are_so(
    keep: float, drop: float, each: dict[str, float]
) -> None:
    keep, drop = keep / 2, drop / 2
    controls = independent_controls(keep, drop, each)
    assert sum(share for share, _ in controls) == pytest.approx(1)
    for name, odds in each.items():
        there = sum(share for share, given in controls if name in given)
        assert there == pytest.approx(keep + (1 - keep - drop) * (1 - odds), abs=1e-9)


def test_a_table_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mix.toml"
    path.write_text(ROADS)
    assert read_mix(path) == ConditionMix(((1.0, ("road",)),), drop_text=0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROADS + "drop_txt = 0.5", "does not know ['drop_txt']"),
        (ROADS.replace("drop_field = 0\n", ""), "lacks ['drop_field']"),
        (RATES, "lacks ['controls']"),
        (ROADS.replace('"road"', '"rivers"'), "must name controls"),
        (ROADS.replace("share = 1", "share = 2"), "from 0 to 1, not 2"),
        (ROADS.replace("share = 1", "share = 0"), "a share above 0"),
        (ROADS.replace("share = 1", "share = true"), "from 0 to 1, not True"),
        (ROADS.replace("0.5", '"half"'), "drop_text in"),
        (ROADS.replace("0.5", "nan"), "drop_text in"),
        (RATES + "controls = 3", "must be a list"),
        (RATES + "controls = [3]", "lacks"),
        (ROADS + "[independent]\nkeep_all = 1", "both controls and independent"),
        (RATES + "[independent]\nkeep_all = 0.1", "lacks ['drop_all', 'drop_each']"),
        (
            RATES + "[independent]\nkeep_all = 0.6\ndrop_all = 0.6\ndrop_each = { road = 0.1 }",
            "above 1 together",
        ),
        (
            RATES + "[independent]\nkeep_all = 0.1\ndrop_all = 0.1\ndrop_each = { sea = 0.1 }",
            "drop_each in",
        ),
        ("drop_text = ", "is no TOML"),
        ("#" * 70_000, "larger than 64 KiB"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mix.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_mix(path)
    assert message in str(error.value)


def test_a_table_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="ours, crs-diff, text or a file"):
        read_mix("theirs")
