"""What the pipeline has to do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler
from toy import SIDE, controls, generators, toy_pipeline

from rsaug.errors import InputError
from rsaug.pipelines.generate import SCHEDULERS, load_pipeline
from rsaug.pipelines.pipeline import CRSDiffPipeline

ROAD = 3


@pytest.fixture(scope="module")
def pipe() -> Any:
    return toy_pipeline()


def test_image_shape_and_range(pipe: Any) -> None:
    images = pipe(*controls(2, ROAD), generator=generators(1, 2)).images
    assert images.shape == (2, SIDE, SIDE, 3)
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.std() > 0


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_any_scheduler(pipe: Any, scheduler: str) -> None:
    other = SCHEDULERS[scheduler].from_config(pipe.scheduler.config)
    changed = CRSDiffPipeline(**{**pipe.components, "scheduler": other})
    changed.set_progress_bar_config(disable=True)
    images = changed(
        *controls(1, ROAD), generator=generators(1), num_inference_steps=4, guidance_scale=2.0
    ).images
    assert np.isfinite(images).all()


def test_stochastic_scheduler_follows_the_generators(pipe: Any) -> None:
    config = {k: v for k, v in pipe.scheduler.config.items() if k != "rescale_betas_zero_snr"}
    noisy = EulerAncestralDiscreteScheduler.from_config(config)
    changed = CRSDiffPipeline(**{**pipe.components, "scheduler": noisy})
    changed.set_progress_bar_config(disable=True)
    maps = controls(1, ROAD)
    first, again, other = (
        changed(*maps, generator=generators(s), output_type="latent", guidance_scale=1.0).images
        for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_sample_does_not_depend_on_its_batch(pipe: Any) -> None:
    maps, present = controls(3, ROAD)
    together = pipe(maps, present, generator=generators(1, 2, 3)).images
    alone = pipe(maps[1:2], present[1:2], generator=generators(2)).images
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5)


def test_guidance_is_two_forwards_in_one(pipe: Any) -> None:
    """Free + scale * (bound - free), each branch computed by itself."""
    maps, present = controls(1, ROAD)
    latents = torch.randn(1, 4, SIDE // 8, SIDE // 8)
    call: dict[str, Any] = {"num_inference_steps": 1, "output_type": "latent", "latents": latents}
    bound = pipe(maps, present, prompt="road", guidance_scale=1.0, **call).images
    zeros = torch.zeros_like
    free = pipe(zeros(maps), zeros(present), guidance_scale=1.0, **call).images
    guided = pipe(maps, present, prompt="road", guidance_scale=3.0, **call).images
    # One DDIM step from zero SNR is linear in the prediction.
    torch.testing.assert_close(guided, free + 3 * (bound - free), rtol=1e-4, atol=1e-4)


def test_guidance_may_keep_the_controls() -> None:
    """As the published model does: the unconditional branch sees the same maps."""
    pipe = toy_pipeline(guide_controls=False)
    call: dict[str, Any] = {"num_inference_steps": 1, "output_type": "latent"}
    call["latents"] = torch.randn(1, 4, SIDE // 8, SIDE // 8)
    maps = controls(1, ROAD)
    plain = pipe(*maps, guidance_scale=1.0, **call).images
    guided = pipe(*maps, guidance_scale=5.0, **call).images
    torch.testing.assert_close(guided, plain, rtol=1e-4, atol=1e-4)


def test_every_condition_has_an_effect(pipe: Any) -> None:
    maps, present = controls(1, ROAD)
    base: dict[str, Any] = {"generator": None, "output_type": "latent"}
    latents = torch.randn(1, 4, SIDE // 8, SIDE // 8)
    plain = pipe(maps, present, latents=latents, **base).images
    metadata = pipe.metadata_embedding.pack({"year": 2018})[None]
    for change in (
        {"prompt": "desert"},
        {"negative_prompt": "trees"},
        {"content_image": torch.rand(1, 3, SIDE, SIDE)},
        {"metadata": metadata},
        {"control_scale": 0.0},
        {"guidance_scale": 4.0},
    ):
        other = pipe(maps, present, latents=latents, **base, **change).images
        assert not torch.allclose(plain, other, atol=1e-4), change


def test_zero_strength_is_absence() -> None:
    pipe = toy_pipeline(guide_controls=False)
    latents = torch.randn(1, 4, SIDE // 8, SIDE // 8)
    call: dict[str, Any] = {"latents": latents, "output_type": "latent", "control_scale": 0.0}
    maps, present = controls(1, ROAD)
    with_road = pipe(maps, present, **call).images
    without = pipe(torch.zeros_like(maps), torch.zeros_like(present), **call).images
    assert torch.equal(with_road, without)


def test_controls_are_encoded_once(pipe: Any) -> None:
    calls: list[int] = []
    handle = pipe.local_adapter.pyramid.register_forward_hook(lambda *_: calls.append(1))
    pipe(*controls(1, ROAD), generator=generators(1), num_inference_steps=5)
    handle.remove()
    assert len(calls) == 1


def test_callback_sees_every_step_and_can_replace_latents(pipe: Any) -> None:
    seen: list[tuple[int, int]] = []

    def callback(
        _: object, step: int, timestep: torch.Tensor, tensors: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        seen.append((step, int(timestep)))
        return {"latents": torch.zeros_like(tensors["latents"])}

    latents = pipe(
        *controls(1, ROAD),
        generator=generators(1),
        num_inference_steps=3,
        output_type="latent",
        callback_on_step_end=callback,
    ).images
    assert [step for step, _ in seen] == [0, 1, 2]
    assert not latents.any()


def test_finite_in_half_precision(pipe: Any) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        half = toy_pipeline().to(dtype)
        images = half(*controls(1, ROAD), generator=generators(1)).images
        assert np.isfinite(images).all()


def test_save_and_load(tmp_path: Path, pipe: Any) -> None:
    pipe.save_pretrained(tmp_path)
    again = load_pipeline(tmp_path, torch.device("cpu"))
    assert again.config.default_steps == 3
    assert again.config.trained_controls == ["road"]
    maps = controls(1, ROAD)
    a = pipe(*maps, prompt="road", generator=generators(1)).images
    b = again(*maps, prompt="road", generator=generators(1)).images
    np.testing.assert_array_equal(a, b)


def test_a_model_may_not_name_foreign_code(tmp_path: Path, pipe: Any) -> None:
    pipe.save_pretrained(tmp_path)
    index = tmp_path / "model_index.json"
    parts = json.loads(index.read_text())
    parts["vae"] = ["subprocess", "Popen"]
    index.write_text(json.dumps(parts))
    with pytest.raises(InputError, match="subprocess"):
        load_pipeline(tmp_path, torch.device("cpu"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"controls": torch.zeros(1, 6, SIDE, SIDE)}, "controls must be"),
        ({"controls": torch.zeros(1, 18, SIDE + 8, SIDE)}, "sides that 16 divides"),
        ({"present": torch.zeros(1, 5)}, "present must be"),
        ({"prompt": ["a", "b"]}, "2 prompts"),
        ({"metadata": torch.zeros(2, 7)}, "metadata must be"),
        ({"generator": generators(1, 2)}, "2 generators"),
    ],
)
def test_inputs_that_do_not_fit(pipe: Any, change: dict[str, Any], message: str) -> None:
    maps, present = controls(1, ROAD)
    with pytest.raises(ValueError, match=message):
        pipe(**({"controls": maps, "present": present} | change))
