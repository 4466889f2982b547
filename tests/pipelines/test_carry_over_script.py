"""scripts/carry_over.py: what of an older model a newer one begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from scriptfile import load_script
from torch import nn
from toy import RANGES, TOY, toy_pipeline
from typer.testing import CliRunner

from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.presets import make_networks

MOVED = replace(
    TOY,
    unet={
        **TOY.unet,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    },
)
"""The toy with its attention one level higher."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    return load_script("carry_over")


def predict(unet: nn.Module) -> torch.Tensor:
    rng = torch.Generator().manual_seed(3)
    noisy = torch.randn(2, 4, 8, 8, generator=rng)
    context = torch.randn(2, 5, 16, generator=rng)
    with torch.no_grad():
        made: torch.Tensor = unet(noisy, 500, context, class_labels=torch.zeros(2, 64)).sample
    return made


def test_attention_that_is_new_begins_silent(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = toy_pipeline()
    # Of the old attention nothing is to reach the prediction, so that what is left can be compared.
    for name, value in old.unet.named_parameters():
        if "block" in name and ".attentions." in name and ".proj_out." in name:
            nn.init.zeros_(value)
    old.save_pretrained(tmp_path / "old")
    monkeypatch.setattr(script, "DEFAULT", MOVED)
    folders = ["--from", str(tmp_path / "old"), "--out", str(tmp_path / "new")]
    result = CliRunner().invoke(script.app, folders)
    assert result.exit_code == 0, result.output
    new = CRSDiffPipeline.from_pretrained(
        tmp_path / "new", use_safetensors=True, low_cpu_mem_usage=False
    )
    assert tuple(new.unet.config.down_block_types) == MOVED.unet["down_block_types"]
    torch.testing.assert_close(predict(new.unet.float()), predict(old.unet), rtol=0.02, atol=5e-3)


def test_what_has_changed_its_shape_begins_anew(script: ModuleType) -> None:
    torch.manual_seed(5)
    wider = replace(TOY, unet={**TOY.unet, "block_out_channels": (16, 40)})
    old, new = (make_networks(preset.fitted(4, RANGES))[0] for preset in (TOY, wider))
    before = {name: value.clone() for name, value in new.state_dict().items()}
    script.carry_over(old, new, "unet")
    mine = old.state_dict()
    for name, value in new.state_dict().items():
        fits = name in mine and mine[name].shape == value.shape
        if fits or ".proj_out." not in name:
            assert torch.equal(value, mine[name] if fits else before[name]), name
