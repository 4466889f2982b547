"""Windows along an axis, and pixels of another size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsaug.downstream.windows import Axis, Resampler
from rsaug.errors import InputError

AXES = st.builds(
    lambda size, stride, overlap, more: Axis(
        size, (2 * overlap + more) * stride, overlap * stride, stride
    ),
    st.integers(1, 500),
    st.sampled_from([4, 16, 32]),
    st.integers(0, 3),
    st.integers(1, 4),
)
RESAMPLERS = st.builds(Resampler.to, st.integers(1, 60), st.floats(0.2, 5))


@settings(deadline=None)
@given(AXES)
def test_windows_cover_every_pixel_on_the_stride(axis: Axis) -> None:
    assert all(start % axis.stride == 0 for start in axis.starts)
    assert axis.starts[-1] + axis.length == axis.padded >= axis.size
    assert axis.padded - axis.size < axis.stride
    assert [*axis.starts] == sorted(set(axis.starts))
    assert axis.total().min() >= 1 - 1e-9


def test_two_neighbours_add_up_to_one_and_their_edges_do_not_count() -> None:
    axis = Axis(320, 128, 32, 32)
    assert axis.starts == (0, 96, 192)
    np.testing.assert_allclose(axis.total(), 1)
    weight = axis.weight(96)
    assert not weight[:8].any()
    assert (weight[24:104] == 1).all()
    assert axis.weight(0)[0] == axis.weight(192)[-1] == 1


@pytest.mark.parametrize(
    ("window", "overlap", "message"),
    [(100, 32, "multiples of 32"), (128, 30, "multiples of 32"), (128, 96, "by 0 to 64")],
)
def test_other_windows_are_refused(window: int, overlap: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Axis(500, window, overlap, 32)


@settings(deadline=None)
@given(RESAMPLERS, st.data())
def test_a_pixel_is_the_same_whatever_part_is_made(made: Resampler, data: st.DataObject) -> None:
    values = np.random.default_rng(0).random(made.source)
    whole = made.weights(0, made.target) @ values
    first = data.draw(st.integers(0, made.target - 1))
    end = data.draw(st.integers(first + 1, made.target))
    start, stop = made.needs(first, end)
    part = made.weights(first, end) @ values[start:stop]
    np.testing.assert_allclose(part, whole[first:end], atol=1e-12)
    assert made.source <= made.target * made.scale + 1e-4 * made.scale


@settings(deadline=None)
@given(RESAMPLERS)
def test_a_slope_stays_where_it_is(made: Resampler) -> None:
    values = np.arange(made.source) + 0.5
    found = made.weights(0, made.target) @ values
    place = (np.arange(made.target) + 0.5) * made.scale
    reach = max(1.0, made.scale) + 0.5
    inner = (place > reach) & (place < made.source - reach)
    np.testing.assert_allclose(found[inner], place[inner], atol=max(0.02, 0.2 * (made.scale > 1)))
