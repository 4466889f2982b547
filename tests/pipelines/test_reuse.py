"""Deep features of one step in the next."""

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from rsaug.pipelines.reuse import DeepReuse

WIDTHS = (8, 16, 16)


@pytest.fixture(scope="module")
def unet() -> Any:
    torch.manual_seed(0)
    made = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=WIDTHS,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=2,
        cross_attention_dim=8,
        attention_head_dim=2,
        norm_num_groups=4,
        class_embed_type="identity",
    )
    return made.eval().requires_grad_(False)


def inputs(unet: Any, seed: int, count: int = 2) -> dict[str, Any]:
    """Random latents and conditions; residuals as the adapter gives them."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    sizes = [(8, 16)] * 3 + [(8, 8), (16, 8), (16, 8), (16, 4), (16, 4), (16, 4)]
    return {
        "sample": draw(4, 16, 16),
        "timestep": torch.tensor(500 - seed),
        "encoder_hidden_states": draw(5, 8),
        "class_labels": draw(32),
        "down_block_additional_residuals": [draw(c, s, s) for c, s in sizes],
        "mid_block_additional_residual": draw(16, 4, 4),
        "return_dict": False,
    }


def whole(unet: Any, given: dict[str, Any]) -> Tensor:
    """What the UNet itself predicts."""
    out: Tensor = unet(**given)[0]
    return out


@pytest.mark.parametrize("levels", [1, 2])
def test_features_that_have_not_changed_change_nothing(unet: Any, levels: int) -> None:
    reusing = DeepReuse(unet, every=2, levels=levels)
    given = inputs(unet, 0)
    first, again = (reusing(**given)[0] for _ in range(2))
    assert torch.equal(first, whole(unet, given))
    torch.testing.assert_close(again, first)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_all_of_it_is_computed_every_so_often(unet: Any, every: int) -> None:
    reusing = DeepReuse(unet, every=every)
    given = [inputs(unet, seed) for seed in range(7)]
    same = [torch.equal(reusing(**g)[0], whole(unet, g)) for g in given]
    assert same == [k % every == 0 for k in range(7)]


def test_first_level_controls_act_at_every_step(unet: Any) -> None:
    given = inputs(unet, 0)
    stronger = inputs(unet, 0)
    stronger["down_block_additional_residuals"][2] += 1
    made = []
    for second in (given, stronger):
        reusing = DeepReuse(unet, every=2)
        reusing(**given)
        made.append(reusing(**second)[0])
    assert (made[0] - made[1]).abs().max() > 1e-3


def test_another_number_of_branches_is_computed_anew(unet: Any) -> None:
    reusing = DeepReuse(unet, every=5)
    for seed, count in enumerate((2, 1, 2)):
        given = inputs(unet, seed, count)
        assert torch.equal(reusing(**given)[0], whole(unet, given))


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [({"every": 0}, "every 1, 2"), ({"levels": 0}, "of 3 levels 1 to 2"), ({"levels": 3}, "not 3")],
)
def test_numbers_that_make_no_sense(unet: Any, numbers: dict[str, int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        DeepReuse(unet, **numbers)


def test_features_of_other_predictions_are_not_taken(unet: Any) -> None:
    reusing = DeepReuse(unet, every=3)
    reusing.keep_for("bound")
    reusing(**inputs(unet, 0))
    reusing.keep_for("free")
    given = inputs(unet, 1)
    assert torch.equal(reusing(**given)[0], whole(unet, given))
    later = inputs(unet, 2)
    assert not torch.equal(reusing(**later)[0], whole(unet, later))
