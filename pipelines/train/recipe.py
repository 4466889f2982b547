"""How generators are trained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from diffusers import DDIMScheduler

from rsaug.errors import InputError
from rsaug.pipelines.presets import DEFAULT, Preset
from rsaug.pipelines.train.mix import ConditionMix, read_mix
from rsaug.pipelines.train.networks import Phase


@dataclass(frozen=True)
class GeneratorRecipe:
    """How a generator is trained; the defaults made the shipped one. See `recipe_for`.

    Attributes:
        steps: optimisation steps; the learning rate falls over the last quarter, so a run may be
            given more of them until then.
        batch: samples a step.
        min_snr: upper bound on a sample's weight in signal space; None for plain squared errors.
        mix: which conditions a sample sees.
        phase: which networks are trained.
        train_text: whether the text encoder is trained where it need not be.
        lora_rank: rank of low-rank updates of attention, trained instead of all weights; 0 for
            none.
        preset: sizes of the networks of a new model.
        sampler: scheduler of a new model's pipeline, by its name in `SCHEDULERS`.
        sampling_steps: denoising steps of a new model when its caller does not say.
        guidance: its guidance scale of text when its caller does not say.
        control_guidance: that of the maps.
    """

    steps: int = 3600
    batch: int = 16
    warmup: int = 100
    learning_rate: float = 6e-4
    weight_decay: float = 1e-2
    ema_decay: float = 0.998
    min_snr: float | None = 5.0
    seed: int = 0
    mix: ConditionMix = field(default_factory=lambda: read_mix("ours"))
    phase: Phase = "joint"
    train_text: bool = False
    lora_rank: int = 0
    preset: Preset = DEFAULT
    sampler: str = "dpm++"
    sampling_steps: int = 12
    guidance: float = 5.0
    control_guidance: float = 1.5

    def check(self) -> None:
        """Raise InputError for numbers that no training can have."""
        if min(self.steps, self.batch) < 1 or min(self.seed, self.lora_rank, self.warmup) < 0:
            raise InputError(
                "Steps and batch must be 1 or more; seed, rank and warm-up must be 0 or more."
            )
        if self.seed >= 1 << 32:
            raise InputError(f"The seed must be below {1 << 32}, not {self.seed}.")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"The learning rate must be above 0, not {self.learning_rate:g}.")


def recipe_for(phase: Phase, *, lora_rank: int = 0, **changes: Any) -> GeneratorRecipe:
    """The recipe of a phase, with changes: the default model's, or near to CRS-Diff's own.

    CRS-Diff trains with AdamW at 1e-5 and a plain error; its steps and batch are not published.
    Low-rank updates are trained at ten times that rate.
    """
    recipe = GeneratorRecipe(phase=phase, lora_rank=lora_rank)
    if phase != "joint" or lora_rank:
        recipe = replace(
            recipe,
            steps=10_000,
            learning_rate=1e-4 if lora_rank else 1e-5,
            min_snr=recipe.min_snr if phase == "joint" else None,
            mix=read_mix("text" if phase == "text" else "ours"),
        )
    return replace(recipe, **changes)


def make_scheduler() -> DDIMScheduler:
    """The noise schedule that the default model is trained on."""
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )


def learning_rate_factor(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, constant, then linear to zero over the last quarter."""
    return min(1.0, (step + 1) / max(1, warmup), (steps - step) / max(1, steps // 4))
