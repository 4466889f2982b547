"""Train the denoiser and the adapters of a CRS-Diff model on tiles of one's own.

The default model: all networks at once from scratch, v-prediction (Salimans & Ho 2022) on a cosine
schedule with zero terminal SNR (Lin et al. 2024), the loss weighted by min-SNR (Hang et al. 2023)
with a floor of one, averaged weights. A model that is there is trained on as CRS-Diff is, in two
phases: its denoiser on text, then its condition networks under a denoiser that stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderDC, AutoencoderKL
from diffusers.models.attention_processor import AttnProcessor
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from numpy.typing import NDArray
from torch import Tensor, nn

from rsaug.conditions.stack import SLOTS
from rsaug.errors import InputError
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.text import CaptionEncoder, learn_vocabulary
from rsaug.pipelines.train.checkpoint import digest_of
from rsaug.pipelines.train.examples import draw_batch, has_any
from rsaug.pipelines.train.grain import measure_grain
from rsaug.pipelines.train.loop import Loop, Schedule, seeded
from rsaug.pipelines.train.lora import ADAPTED, Lora
from rsaug.pipelines.train.machine import Run
from rsaug.pipelines.train.models import (
    fit_metadata,
    image_cache,
    metadata_ranges,
    new_pipeline,
    save_half,
)
from rsaug.pipelines.train.networks import PARTS, GeneratorNetworks
from rsaug.pipelines.train.objective import Objective
from rsaug.pipelines.train.pack import Pack
from rsaug.pipelines.train.recipe import GeneratorRecipe, learning_rate_factor
from rsaug.pipelines.train.validation import Validation

# What may change when a run is taken up again.
_FREE = ("steps", "sampler", "sampling_steps", "guidance", "control_guidance")


class Trainer:
    """One training run of a generator; resumes from its checkpoint.

    Args:
        pack: training examples.
        weights: (n,) how often each example is drawn; need not sum to one.
        start: the model to train, in place; or the autoencoder of a new one.
        out: folder of the finished pipeline.
        recipe: schedule and sizes.
        run: device and the like.
        log: where progress lines go.
    """

    def __init__(
        self,
        pack: Pack,
        weights: NDArray[np.float64],
        start: CRSDiffPipeline | AutoencoderDC | AutoencoderKL,
        out: Path,
        recipe: GeneratorRecipe,
        run: Run,
        log: Callable[[str], None],
    ) -> None:
        recipe.check()
        self.pack, self.out, self.recipe = pack, out, recipe
        made_by = _made_by(pack, weights, start, recipe)
        is_model = isinstance(start, CRSDiffPipeline)
        self.is_new = not is_model
        self.pipe = start if is_model else new_pipeline(pack, start, recipe)
        if is_model:
            self.pack = _fitted(pack, start, log)
        _check_size(self.pack, self.pipe)
        self.pipe.set_progress_bar_config(disable=True)
        self.odds = np.asarray(weights, dtype=np.float64) / np.sum(weights)
        self.objective = Objective(self.pipe.scheduler, recipe.min_snr)
        networks = GeneratorNetworks(self.pipe, recipe.phase, text=recipe.train_text)
        if is_model and not recipe.lora_rank:
            _add_words(networks, self.pack, recipe.seed, log)
        self.lora = _add_lora(networks, recipe)
        if run.checkpointing:
            for part in (self.pipe.unet, self.pipe.local_adapter):
                part.enable_gradient_checkpointing()
        self.loop = Loop(
            networks.to(memory_format=torch.channels_last),
            Schedule(
                steps=recipe.steps,
                batch=recipe.batch,
                learning_rate=recipe.learning_rate,
                factor=lambda step: learning_rate_factor(step, recipe.steps, recipe.warmup),
                weight_decay=recipe.weight_decay,
                betas=(0.9, 0.99),
                ema_decay=recipe.ema_decay,
            ),
            run,
            out,
            made_by,
            log,
        )
        if self.loop.device.type == "cpu":
            # There the fused attention of torch is slower to train through.
            self.pipe.unet.set_attn_processor(AttnProcessor())
        self.cache = image_cache(
            self.pipe, self.pack.rgb, self.loop.device, full=run.products() == "no"
        )

    def losses(self, step: int, part: slice) -> Mapping[str, Tensor]:
        """The loss of a part of a step's batch."""
        recipe, device = self.recipe, self.loop.device
        # Keyed by the step, so that a resumed run goes on as an uninterrupted one would.
        draw = np.random.default_rng((recipe.seed, step))
        batch = draw_batch(
            self.pack, self.cache, self.odds, recipe.mix, recipe.batch, draw, part
        ).to(device)
        with seeded(recipe.seed * 1_000_003 + step, device):
            noisy, timesteps, target, weight = self.objective.draw(
                batch.latents, batch.part, batch.total
            )
            error = (self.loop.forward(noisy, timesteps, batch).float() - target).pow(2)
            return {"loss": (weight * error).mean()}

    def export(self) -> None:
        """Save the pipeline in half precision to ``out``; low-rank updates also by themselves."""
        if self.lora:
            self.lora.save(self.out)
            self.lora.merge()
        if self.recipe.phase != "text":
            learned = {slot for slot in self.recipe.mix.slots if has_any(self.pack, slot)}
            known = learned | set(self.pipe.config.trained_controls)
            self.pipe.register_to_config(trained_controls=[s for s in SLOTS if s in known])
        if self.is_new:
            self.pipe.register_to_config(grain=measure_grain(self.pack.rgb))
        save_half(self.pipe, self.out)


def _fitted(pack: Pack, pipe: CRSDiffPipeline, log: Callable[[str], None]) -> Pack:
    """Examples with metadata that a trained model can read."""
    embedding = pipe.metadata_embedding
    if not any(embedding.config.ranges):
        # On a base that knows no metadata they are those of the examples.
        embedding.register_to_config(ranges=metadata_ranges(pack.metadata))
    metadata, strange = fit_metadata(embedding, pack.metadata)
    for name, count in strange.items():
        log(f"of metadata {name}, {count} of {len(pack)} values are unknown to the model")
    return replace(pack, metadata=metadata)


def _add_words(
    networks: GeneratorNetworks, pack: Pack, seed: int, log: Callable[[str], None]
) -> None:
    """Let a text encoder that is trained read the words that it does not know of some examples."""
    encoder = networks.text_encoder
    if "text_encoder" in networks.frozen or not isinstance(encoder, CaptionEncoder):
        return
    with seeded(seed, torch.device("cpu")):
        new = encoder.add_words(learn_vocabulary(t for texts in pack.captions for t in texts))
    if new:
        log(
            f"{len(new)} words are new to the model: {', '.join(new[:8])}{', ...' * (len(new) > 8)}"
        )


def _check_size(pack: Pack, pipe: CRSDiffPipeline) -> None:
    """Raise InputError for examples of a size that the networks cannot halve to their end."""
    factor = pipe.side_px
    rows, cols = pack.rgb.shape[1:3]
    if rows % factor or cols % factor:
        raise InputError(
            f"Examples are {rows}x{cols} pixels; this model needs sides that {factor} divides: "
            "give another --tile-size."
        )


def _add_lora(networks: GeneratorNetworks, recipe: GeneratorRecipe) -> Lora | None:
    if not recipe.lora_rank:
        return None
    if recipe.train_text:
        raise InputError("With low-rank updates the text encoder stays as it is.")
    names = tuple(name for name in ADAPTED if name not in networks.frozen)
    adapter = networks.local_adapter
    outputs = [adapter.mid_output, *adapter.down_outputs]
    if "local_adapter" in names and not any(bool(conv.weight.any()) for conv in outputs):
        raise InputError(
            "The adapter of this model is untrained: its residuals are zero, and low-rank updates "
            "do not reach what keeps them so. Train the phase 'conditions' without --lora first."
        )
    networks.frozen = [name for name in PARTS if name not in names]
    with seeded(recipe.seed, torch.device("cpu")):
        return Lora(networks, names, recipe.lora_rank)


def _made_by(
    pack: Pack,
    weights: NDArray[np.float64],
    start: CRSDiffPipeline | nn.Module,
    recipe: GeneratorRecipe,
) -> dict[str, object]:
    """What decides a run besides its length."""
    parts = list(start.components.values()) if isinstance(start, CRSDiffPipeline) else [start]
    noise = [
        repr(sorted(part.config.items())) for part in parts if isinstance(part, SchedulerMixin)
    ]
    arrays = [values for values in vars(pack).values() if isinstance(values, np.ndarray)]
    return {
        "recipe": {k: v for k, v in asdict(recipe).items() if k not in _FREE},
        "start": digest_of(*(part for part in parts if isinstance(part, nn.Module)), *noise),
        "data": digest_of(*arrays, repr(pack.captions), np.asarray(weights, dtype=np.float64)),
    }


def train_generator(
    pack: Pack,
    weights: NDArray[np.float64],
    start: CRSDiffPipeline | AutoencoderDC | AutoencoderKL,
    out: str | Path,
    recipe: GeneratorRecipe,
    log: Callable[[str], None],
    *,
    run: Run | None = None,
    validation: Validation | None = None,
) -> CRSDiffPipeline:
    """Train on ``pack`` and save the pipeline to ``out``; resumes what is there.

    Args:
        pack: training examples.
        weights: (n,) how often each example is drawn; need not sum to one.
        start: the model to train, in place; or the trained autoencoder of a new one.
        out: folder of the finished pipeline.
        recipe: schedule and sizes.
        log: where progress lines go.
        run: device, precision and how often something is written.
        validation: examples of the pictures; some of ``pack`` by default.

    Returns:
        The trained pipeline, averaged weights, in half precision.

    Raises:
        InputError: for a recipe or a run that cannot be, or a checkpoint of another run.
    """
    out = Path(out)
    trainer = Trainer(pack, weights, start, out, recipe, run or Run(), log)
    shown = validation or Validation(pack, "seen in training")
    controls = () if recipe.phase == "text" else ("road", "seg")
    trainer.loop.train(trainer.losses, lambda: shown.sheet(trainer.pipe, controls))
    trainer.loop.finish(trainer.export)
    pipe: CRSDiffPipeline = CRSDiffPipeline.from_pretrained(
        out, use_safetensors=True, low_cpu_mem_usage=False
    )
    return pipe
