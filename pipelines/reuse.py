"""Deep features of the UNet that are taken over from the step before.

What the deeper levels see changes little from one step to the next, and most of what the controls
say comes in at the first (Ma, Fang, Wang, "DeepCache: Accelerating Diffusion Models for Free",
CVPR 2024). An approximation: docs/benchmarks.md says what it costs and gains.
"""

from __future__ import annotations

from typing import Any

from diffusers import UNet2DConditionModel
from torch import Tensor


class DeepReuse:
    """Stands for a UNet during one trajectory, and computes all of it only every few steps.

    In between, only the first levels run, on the way down and up, with what came up from below them
    in the last whole step. It needs the networks as they are, neither compiled nor offloaded.

    Args:
        unet: whose levels are run.
        every: how often all of it is computed; 1 is always.
        levels: how many levels run at every step.

    Raises:
        ValueError: for a number that leaves nothing to run or nothing to reuse.
    """

    def __init__(self, unet: UNet2DConditionModel, every: int = 2, levels: int = 1) -> None:
        if every < 1:
            raise ValueError(f"all of the UNet is computed every 1, 2, ... steps, not {every}")
        if not 1 <= levels < len(unet.down_blocks):
            raise ValueError(
                f"of {len(unet.down_blocks)} levels 1 to {len(unet.down_blocks) - 1} can run at "
                f"every step, not {levels}"
            )
        self.unet, self.every, self.levels = unet, every, levels
        self._from_below: Tensor | None = None
        self._age = 0
        self._of: object = None

    def keep_for(self, what: object) -> None:
        """Say what the next samples are predictions of; features of others are forgotten."""
        if what != self._of:
            self._of, self._from_below = what, None

    def __call__(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        class_labels: Tensor,
        down_block_additional_residuals: list[Tensor],
        mid_block_additional_residual: Tensor,
        return_dict: bool = False,
    ) -> tuple[Tensor]:
        """The prediction for ``sample``; arguments as of the UNet.

        All of it is computed, too, when the batch has another size, as guidance that begins or ends
        makes it.
        """
        self._age += 1
        kept = self._from_below
        if kept is None or len(kept) != len(sample) or self._age >= self.every:
            self._age = 0
            return self._whole(
                sample,
                timestep,
                encoder_hidden_states,
                class_labels=class_labels,
                down_block_additional_residuals=down_block_additional_residuals,
                mid_block_additional_residual=mid_block_additional_residual,
                return_dict=return_dict,
            )
        unet = self.unet
        temb = unet.time_embedding(unet.get_time_embed(sample=sample, timestep=timestep))
        temb = temb + unet.get_class_embed(sample=sample, class_labels=class_labels)
        x = unet.conv_in(sample)
        skips = [x]
        for block in unet.down_blocks[: self.levels]:
            x, passed = block(x, temb, **_context(block, encoder_hidden_states))
            skips += passed
        # Of the last one's way down, which nothing up here reads, there is one too many.
        skips = [s + r for s, r in zip(skips, down_block_additional_residuals, strict=False)]
        del skips[sum(len(block.resnets) for block in unet.up_blocks[-self.levels :]) :]
        x = kept
        for block in unet.up_blocks[-self.levels :]:
            taken = tuple(skips[-len(block.resnets) :])
            del skips[-len(block.resnets) :]
            x = block(x, taken, temb, **_context(block, encoder_hidden_states))
        prediction: Tensor = unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))
        return (prediction,)

    def _whole(self, *args: Any, **kwargs: Any) -> tuple[Tensor]:
        """The prediction of the UNet itself; what comes up from below is kept."""

        def keep(block: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            self._from_below = named["hidden_states"]

        first_above = self.unet.up_blocks[-self.levels]
        hook = first_above.register_forward_pre_hook(keep, with_kwargs=True)
        try:
            prediction: tuple[Tensor] = self.unet(*args, **kwargs)
        finally:
            hook.remove()
        return prediction


def _context(block: Any, tokens: Tensor) -> dict[str, Tensor]:
    """Context tokens for a block that attends to them."""
    attends = getattr(block, "has_cross_attention", False)
    return {"encoder_hidden_states": tokens} if attends else {}
