"""What every training loop leans on."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rsaug.errors import InputError
from rsaug.pipelines.train.checkpoint import (
    Stateful,
    Trained,
    digest_of,
    resume,
    save_checkpoint,
)
from rsaug.pipelines.train.ema import Ema
from rsaug.pipelines.train.loop import seeded, turn, warmup_cosine
from rsaug.pipelines.train.machine import Run, cut_batch


def layer(value: float) -> nn.Linear:
    one = nn.Linear(1, 1, bias=False)
    nn.init.constant_(one.weight, value)
    return one


def test_an_average_follows_the_weights_and_changes_places_with_them() -> None:
    live = layer(0.0)
    ema = Ema(live.parameters(), decay=0.5)
    nn.init.constant_(live.weight, 1.0)
    values = [0.0]
    for step in range(1, 4):
        decay = min(0.5, (1 + step) / (10 + step))
        values.append(values[-1] * decay + 1 - decay)
        ema.update()
        assert ema.shadow[0].item() == pytest.approx(values[-1])
    ema.swap()
    assert live.weight.item() == pytest.approx(values[-1])
    ema.swap()
    assert live.weight.item() == 1.0


def test_a_checkpoint_brings_everything_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.ckpt"
    before, after = layer(2.0), layer(3.0)
    old, new = Ema(before.parameters()), Ema(after.parameters())
    old.update()
    save_checkpoint(path, {"net": before, "ema": old}, 7, {"seed": 1, "widths": (1, 2)})
    parts: dict[str, Stateful] = {"net": after, "ema": new}
    assert resume(path, parts, {"seed": 1, "widths": (1, 2)}) == 7
    assert after.weight.item() == 2.0
    assert (new.step, new.shadow[0].item()) == (1, 2.0)
    assert [file.name for file in path.parent.iterdir()] == ["run.ckpt"]


def test_without_a_checkpoint_a_run_begins_at_the_beginning(tmp_path: Path) -> None:
    assert resume(tmp_path / "none.ckpt", {"net": layer(1.0)}, {}) == 0


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path, net = tmp_path / "run.ckpt", layer(2.0)
    save_checkpoint(path, {"net": layer(1.0)}, 7, {"seed": 1})
    with pytest.raises(InputError, match="another recipe"):
        resume(path, {"net": net}, {"seed": 2})
    assert net.weight.item() == 2.0


def test_a_checkpoint_without_a_part_is_refused(tmp_path: Path) -> None:
    """As one is that was begun in another precision."""
    path, net = tmp_path / "run.ckpt", layer(2.0)
    save_checkpoint(path, {"net": layer(1.0)}, 7, {})
    with pytest.raises(InputError, match="does not fit this run"):
        resume(path, {"net": net, "scaler": layer(1.0)}, {})


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("went_off"),)  # type: ignore[return-value]


@pytest.mark.parametrize("content", ["empty", "short", "text", "tensor", "list", "bomb"])
def test_a_file_that_is_no_checkpoint_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.ckpt"
    files = {"empty": "", "short": "abc", "text": "no checkpoint"}
    if content in files:
        path.write_text(files[content])
    elif content in ("tensor", "list"):
        torch.save(torch.zeros(3) if content == "tensor" else [1], path)
    else:
        torch.save({"parts": Bomb(), "step": 1, "made_by": {}}, path)
    with pytest.raises(InputError, match="no checkpoint of this training"):
        resume(path, {}, {})
    assert not Path("went_off").exists()


def test_random_numbers_follow_the_seed_inside_and_only_there() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1, torch.device("cpu")):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(1, torch.device("cpu")):
        assert torch.equal(torch.rand(3), inside)


@given(st.integers(2, 500), st.integers(1, 100))
def test_the_rate_rises_then_falls(steps: int, warmup: int) -> None:
    factors = [warmup_cosine(k, steps + warmup, warmup) for k in range(steps + warmup + 1)]
    top = factors.index(max(factors))
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert math.isclose(max(factors), 1.0)
    assert math.isclose(factors[-1], 0.02)


def test_turns_are_the_eight_symmetries_of_the_square() -> None:
    square = torch.arange(4).view(2, 2)
    turned = {tuple(turn(square, q, m).flatten().tolist()) for q in range(4) for m in (False, True)}
    assert len(turned) == 8
    assert torch.equal(turn(turn(square, 1, False), 3, False), square)
    assert torch.equal(turn(turn(square, 0, True), 0, True), square)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_a_batch_is_cut_into_equal_parts_that_make_it_up(
    processes: int, accumulate: int, size: int
) -> None:
    batch = size * processes * accumulate
    parts = [cut_batch(batch, processes, accumulate, process) for process in range(processes)]
    taken = [k for mine in parts for part in mine for k in range(batch)[part]]
    assert sorted(taken) == list(range(batch))
    assert {len(range(batch)[part]) for mine in parts for part in mine} == {size}
    if processes * accumulate > 1:
        with pytest.raises(InputError, match="equal parts"):
            cut_batch(batch + 1, processes, accumulate, 0)


def test_what_is_frozen_is_in_no_checkpoint() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    state = Trained(network).state_dict()
    assert not any(name.startswith("0.") for name in state)
    assert {"1.running_mean", "2.weight"} <= state.keys()
    with pytest.raises(KeyError, match="another network"):
        Trained(network).load_state_dict({"2.weight": torch.zeros(2, 2)})


def test_a_digest_tells_weights_shapes_and_texts_apart() -> None:
    some = np.arange(6, dtype=np.float32)
    digests = {
        digest_of(layer(1.0)),
        digest_of(layer(2.0)),
        digest_of(some),
        digest_of(some.reshape(2, 3)),
        digest_of(some.astype(np.int32)),
        digest_of("some"),
    }
    assert len(digests) == 6
    assert digest_of(layer(1.0), some) == digest_of(layer(1.0), some.copy())


@pytest.mark.parametrize(
    ("features", "asked", "precision"),
    [
        ("avx512_bf16", None, "bf16"),
        ("amx_tile", None, "bf16"),
        ("avx512", None, "no"),
        ("", None, "no"),
        ("avx512", "bf16", "bf16"),
        ("amx_tile avx512_bf16", "no", "no"),
    ],
)
def test_a_cpu_that_emulates_bfloat16_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch, features: str, asked: Any, precision: str
) -> None:
    for name in ("avx512_bf16", "amx_tile", "avx512"):
        has = partial(features.split().__contains__, name)
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", has)
    assert Run(device="cpu", precision=asked).products() == precision


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (Run(precision="fp32"), "No precision is called 'fp32'"),  # type: ignore[arg-type]
        (Run(device="cpu", precision="fp16"), "cannot train in fp16"),
        (Run(accumulate=0), "must be 1 or more"),
        (Run(device="abacus"), "'abacus' is not to be had"),
    ],
)
def test_a_run_that_cannot_be_is_refused(run: Run, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run.check()
