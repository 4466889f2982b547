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
from rsaug.pipelines.content import ContentAdapter
from rsaug.pipelines.denoiser import clean_estimate, prediction_for
from rsaug.pipelines.models import load_pipeline
from rsaug.pipelines.pipeline import CRSDiffPipeline
from rsaug.pipelines.settings import SCHEDULERS
from rsaug.pipelines.steering import ControlUse

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


def test_a_controls_strength_interval_and_region_have_an_effect(pipe: Any) -> None:
    maps = controls(1, ROAD)
    latents = torch.randn(1, 4, SIDE // 8, SIDE // 8)
    base: dict[str, Any] = {"latents": latents, "output_type": "latent", "num_inference_steps": 4}
    plain = pipe(*maps, **base).images
    half = torch.zeros(1, SIDE, SIDE)
    half[..., : SIDE // 2] = 1
    uses = (
        ControlUse(0.5),
        ControlUse(1.5),
        ControlUse(interval=(0, 0.5)),
        ControlUse(region=half),
    )
    made = [pipe(*maps, control_uses={"road": use}, **base).images for use in uses]
    for k, image in enumerate(made):
        assert not torch.allclose(plain, image, atol=1e-4), uses[k]
        assert all(not torch.allclose(image, other, atol=1e-4) for other in made[:k])


@pytest.mark.parametrize("use", [ControlUse(0.0), ControlUse(interval=(0.0, 0.0))])
def test_no_strength_or_no_time_is_absence(pipe: Any, use: ControlUse) -> None:
    maps, present = controls(1, ROAD)
    call: dict[str, Any] = {"latents": torch.randn(1, 4, SIDE // 8, SIDE // 8), "prompt": "trees"}
    call["output_type"] = "latent"
    without = pipe(torch.zeros_like(maps), torch.zeros_like(present), **call).images
    steered = pipe(maps, present, control_uses={"road": use}, **call).images
    assert torch.equal(steered, without)


def test_text_and_controls_are_guided_apart(pipe: Any) -> None:
    """Free + c * (controls - free) + t * (bound - controls), each branch computed by itself."""
    maps, present = controls(1, ROAD)
    latents = torch.randn(1, 4, SIDE // 8, SIDE // 8)
    call: dict[str, Any] = {"num_inference_steps": 1, "output_type": "latent", "latents": latents}
    none = (torch.zeros_like(maps), torch.zeros_like(present))
    free = pipe(*none, guidance_scale=1.0, **call).images
    kept = pipe(maps, present, guidance_scale=1.0, **call).images
    bound = pipe(maps, present, prompt="road", guidance_scale=1.0, **call).images
    scales = {"guidance_scale": 3.0, "control_guidance_scale": 1.5}
    guided = pipe(maps, present, prompt="road", **scales, **call).images
    expected = free + 1.5 * (kept - free) + 3 * (bound - kept)
    torch.testing.assert_close(guided, expected, rtol=1e-4, atol=1e-4)


def test_guidance_outside_its_interval_is_off(pipe: Any) -> None:
    maps = controls(1, ROAD)
    call: dict[str, Any] = {"latents": torch.randn(1, 4, SIDE // 8, SIDE // 8)}
    off = pipe(*maps, guidance_scale=1.0, **call).images
    never = pipe(*maps, guidance_scale=5.0, guidance_interval=(0.5, 0.5), **call).images
    partly = pipe(*maps, guidance_scale=5.0, guidance_interval=(0.0, 0.5), **call).images
    np.testing.assert_array_equal(off, never)
    assert not np.allclose(off, partly, atol=1e-4)


def test_a_step_is_one_forward_and_conditions_are_encoded_once(pipe: Any) -> None:
    calls: list[str] = []
    parts = {
        "pyramid": pipe.local_adapter.pyramid,
        "metadata": pipe.metadata_embedding,
        "adapter": pipe.local_adapter,
        "unet": pipe.unet,
    }
    handles = [
        part.register_forward_hook(lambda *_, name=name: calls.append(name))
        for name, part in parts.items()
    ]
    pipe(*controls(1, ROAD), generator=generators(1), num_inference_steps=5, guidance_scale=3.0)
    for handle in handles:
        handle.remove()
    # One pass of the pyramid without controls, one with them.
    assert {name: calls.count(name) for name in parts} == {
        "pyramid": 2,
        "metadata": 1,
        "adapter": 5,
        "unet": 5,
    }


def test_features_are_taken_over_between_steps(pipe: Any) -> None:
    maps = controls(1, ROAD)
    calls: list[int] = []
    handle = pipe.unet.mid_block.register_forward_hook(lambda *_: calls.append(1))
    call: dict[str, Any] = {"latents": torch.randn(1, 4, SIDE // 8, SIDE // 8)}
    call["num_inference_steps"] = 6
    plain = pipe(*maps, **call).images
    reused = pipe(*maps, reuse_every=2, **call).images
    handle.remove()
    assert len(calls) == 6 + 3
    assert 0 < np.abs(reused - plain).mean() < 0.05
    np.testing.assert_array_equal(pipe(*maps, reuse_every=1, **call).images, plain)


def test_content_of_no_strength_is_absence(pipe: Any) -> None:
    maps = controls(1, ROAD)
    image = torch.rand(1, 3, SIDE, SIDE)
    call: dict[str, Any] = {"latents": torch.randn(1, 4, SIDE // 8, SIDE // 8)}
    plain = pipe(*maps, **call).images
    np.testing.assert_array_equal(
        pipe(*maps, content_image=image, content_scale=0.0, **call).images, plain
    )
    weak, full = (
        pipe(*maps, content_image=image, content_scale=scale, **call).images for scale in (0.5, 1)
    )
    assert 0 < np.abs(weak - plain).mean() < np.abs(full - plain).mean()


def test_a_content_image_needs_something_that_reads_it() -> None:
    pipe = toy_pipeline()
    pipe.register_modules(content_adapter=ContentAdapter(12, cross_attention_dim=16).eval())
    with pytest.raises(ValueError, match="no image encoder"):
        pipe(*controls(1, ROAD), content_image=torch.rand(1, 3, SIDE, SIDE))


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_the_less_is_remade_the_nearer_is_the_image(pipe: Any, scheduler: str) -> None:
    other = SCHEDULERS[scheduler].from_config(pipe.scheduler.config)
    changed = CRSDiffPipeline(**{**pipe.components, "scheduler": other})
    changed.set_progress_bar_config(disable=True)
    maps = controls(1, ROAD)
    image = torch.rand(1, 3, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        clean = changed.encode_images(image)
    call: dict[str, Any] = {"image": image, "num_inference_steps": 10, "output_type": "latent"}
    far = [
        (changed(*maps, strength=s, generator=generators(1), **call).images - clean).abs().mean()
        for s in (0.0, 0.2, 0.6)
    ]
    assert far[0] == 0
    assert 0 < far[1] < far[2]


def test_strength_is_the_share_of_steps(pipe: Any) -> None:
    seen: list[int] = []

    def callback(_: object, step: int, __: object, ___: object) -> dict[str, torch.Tensor]:
        seen.append(step)
        return {}

    call: dict[str, Any] = {"image": torch.zeros(1, 3, SIDE, SIDE), "generator": generators(1)}
    call["callback_on_step_end"] = callback
    pipe(*controls(1, ROAD), strength=0.3, num_inference_steps=10, **call)
    assert seen == [7, 8, 9]


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_a_projection_decides_the_result(pipe: Any, scheduler: str, kind: str) -> None:
    """Every step is told the same clean latent, so that is where the trajectory ends."""
    config = {**pipe.scheduler.config, "prediction_type": kind, "rescale_betas_zero_snr": False}
    other = SCHEDULERS[scheduler].from_config(config)
    changed = CRSDiffPipeline(**{**pipe.components, "scheduler": other})
    changed.set_progress_bar_config(disable=True)
    target = torch.randn(1, 4, SIDE // 8, SIDE // 8)
    steps: list[int] = []

    def project(clean: torch.Tensor, step: int) -> torch.Tensor:
        assert clean.isfinite().all()
        steps.append(step)
        return target

    made = changed(
        *controls(1, ROAD),
        generator=generators(1),
        num_inference_steps=12,
        output_type="latent",
        project=project,
    ).images
    assert steps == list(range(12))
    # Some end one small step of noise before the end.
    assert (made - target).abs().mean() < 0.1


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_estimate_and_prediction_are_inverse(pipe: Any, kind: str) -> None:
    config = {**pipe.scheduler.config, "prediction_type": kind, "rescale_betas_zero_snr": False}
    scheduler = SCHEDULERS["ddim"].from_config(config)
    clean, noise = torch.randn(2, 1, 4, 8, 8)
    for t in (1, 500, 990):
        timestep = torch.tensor(t)
        sample = scheduler.add_noise(clean, noise, timestep[None])
        prediction = prediction_for(scheduler, clean, sample, timestep)
        again = clean_estimate(scheduler, prediction, sample, timestep)
        torch.testing.assert_close(again, clean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
def test_the_estimate_is_that_of_the_scheduler(pipe: Any, spacing: str) -> None:
    config = {**pipe.scheduler.config, "timestep_spacing": spacing}
    scheduler = SCHEDULERS["euler"].from_config(config)
    # Spread evenly, these fall between the timesteps of the training.
    scheduler.set_timesteps(7)
    latents, prediction = torch.randn(2, 1, 4, 8, 8, generator=generators(3)[0])
    for timestep in scheduler.timesteps[1:]:
        sample = scheduler.scale_model_input(latents, timestep)
        estimate = clean_estimate(scheduler, prediction, sample, timestep)
        theirs = scheduler.step(prediction, timestep, latents).pred_original_sample
        torch.testing.assert_close(estimate, theirs, rtol=1e-4, atol=1e-4)


def test_an_unchanged_projection_changes_nothing(pipe: Any) -> None:
    call: dict[str, Any] = {"latents": torch.randn(1, 4, SIDE // 8, SIDE // 8)}
    maps = controls(1, ROAD)
    plain = pipe(*maps, **call).images
    projected = pipe(*maps, project=lambda clean, _: clean, **call).images
    np.testing.assert_allclose(projected, plain, atol=1e-4)


def test_noise_of_ddim_follows_the_generators(pipe: Any) -> None:
    maps = controls(1, ROAD)
    call: dict[str, Any] = {"latents": torch.randn(1, 4, SIDE // 8, SIDE // 8)}
    first, again, other = (pipe(*maps, generator=generators(s), eta=0.5, **call) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.allclose(first.images, other.images, atol=1e-4)


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
    again, third = (load_pipeline(tmp_path, torch.device("cpu")) for _ in range(2))
    assert again.config.default_steps == 3
    assert again.config.trained_controls == ["road"]
    maps = controls(1, ROAD)
    a, b, c = (
        p(*maps, prompt="road", generator=generators(1)).images for p in (pipe, again, third)
    )
    np.testing.assert_array_equal(b, c)
    # Loaded, channels lie last, which rounds differently.
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_folder_and_device_may_be_texts(tmp_path: Path, pipe: Any) -> None:
    pipe.save_pretrained(tmp_path)
    again = load_pipeline(str(tmp_path), "cpu")
    assert again.device == torch.device("cpu")
    assert again.unet.dtype == torch.float32
    with pytest.raises(InputError, match="The device 'abacus' is not to be had here"):
        load_pipeline(str(tmp_path), "abacus")
    with pytest.raises(InputError, match="nowhere"):
        load_pipeline("nowhere", "cpu")


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
        ({"image": torch.zeros(1, 3, 8, 8)}, "image must be"),
        ({"strength": 0.5}, "no image is given"),
        ({"image": torch.zeros(1, 3, SIDE, SIDE), "strength": 1.5}, "strength must be 0 to 1"),
        ({"guidance_scale": -1.0}, "scale of text"),
        ({"control_uses": {"depth": ControlUse(0.5)}}, "depth is to be used"),
    ],
)
def test_inputs_that_do_not_fit(pipe: Any, change: dict[str, Any], message: str) -> None:
    maps, present = controls(1, ROAD)
    with pytest.raises(ValueError, match=message):
        pipe(**({"controls": maps, "present": present} | change))


@pytest.mark.parametrize(
    ("own", "guides", "asked", "expected"),
    [
        (None, True, (None, None), (2.0, 2.0)),
        (None, False, (None, None), (2.0, 1.0)),
        (None, True, (5.0, None), (5.0, 5.0)),
        (1.25, True, (5.0, None), (5.0, 1.25)),
        (1.25, True, (None, 3.0), (2.0, 3.0)),
    ],
)
def test_scales_are_the_models_own_unless_given(
    own: float | None,
    guides: bool,
    asked: tuple[float | None, float | None],
    expected: tuple[float, float],
) -> None:
    pipe = toy_pipeline(guide_controls=guides)
    pipe.register_to_config(default_control_guidance=own)
    assert pipe.scales(*asked) == expected


def test_without_a_text_there_is_no_branch_for_it() -> None:
    pipe = toy_pipeline()
    batches: list[int] = []
    pipe.unet.register_forward_pre_hook(lambda module, args: batches.append(len(args[0])))
    for prompt, negative in (("", ""), ("desert", ""), ("desert", "desert"), ("", "road")):
        pipe(
            *controls(1, ROAD),
            prompt=prompt,
            negative_prompt=negative,
            generator=generators(1),
            num_inference_steps=1,
            guidance_scale=5.0,
            control_guidance_scale=1.5,
        )
    assert batches == [2, 3, 2, 3]
