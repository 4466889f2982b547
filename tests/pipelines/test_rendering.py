"""The plain rendering of the published model: its layout, and what it has to compute.

The UNet, the autoencoder, the text model and the sampler are held against other people's
implementations; what only CRS-Diff has, against loops over pixels and numbers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from rendering.adapter import FDN, LocalAdapter, SelfAttention
from rendering.checkpoint import (
    BUFFERS,
    EXPECTED,
    POSITION_IDS,
    TRAINED,
    count,
    published_checkpoint,
    published_state_dict,
    released_model,
)
from rendering.metadata import HIGHEST, LOWEST, MetadataEmbedding, no_metadata, sinusoid
from rendering.released import Conditions, Released
from rendering.sampling import (
    ddim_timesteps,
    guided_noise,
    guided_step,
    sample,
    schedule_buffers,
    signal_levels,
    unconditional,
)
from rendering.widths import FULL, TOY
from torch import Tensor

SHAPES = {
    "time_embed.0": (1280, 320),
    "time_embed.2": (1280, 1280),
    "feature_extractor.pre_extractor.0": (32, 18, 3, 3),
    "feature_extractor.pre_extractor.2": (64, 32, 3, 3),
    "feature_extractor.pre_extractor.4": (64, 64, 3, 3),
    "feature_extractor.pre_extractor.6": (128, 64, 3, 3),
    "feature_extractor.pre_extractor.8": (128, 128, 3, 3),
    "feature_extractor.extractors.0.0": (192, 128, 3, 3),
    "feature_extractor.extractors.1.0": (256, 192, 3, 3),
    "feature_extractor.extractors.2.0": (384, 256, 3, 3),
    "feature_extractor.extractors.3.0": (512, 384, 3, 3),
    "feature_extractor.zero_convs.0": (192, 192, 3, 3),
    "feature_extractor.zero_convs.1": (256, 256, 3, 3),
    "feature_extractor.zero_convs.2": (384, 384, 3, 3),
    "feature_extractor.zero_convs.3": (512, 512, 3, 3),
    "input_blocks.0.0": (320, 4, 3, 3),
    "input_blocks.3.0.op": (320, 320, 3, 3),
    "input_blocks.6.0.op": (640, 640, 3, 3),
    "input_blocks.9.0.op": (1280, 1280, 3, 3),
    "input_blocks.4.0.skip_connection": (640, 320, 1, 1),
    "input_blocks.7.0.skip_connection": (1280, 640, 1, 1),
    "middle_block_out.0": (1280, 1280, 1, 1),
}
"""Of weights of the local adapter."""

FDN_WIDTHS = {
    1: (320, 320, 192),
    4: (320, 640, 256),
    7: (640, 1280, 384),
    10: (1280, 1280, 512),
}
"""Of the first block of each level: norm_in, norm_out and the local feature."""


@pytest.fixture(scope="module")
def full() -> dict[str, Tensor]:
    """Every tensor of the full model, without its numbers."""
    with torch.device("meta"):
        return Released(FULL).state_dict()


@pytest.fixture(scope="module")
def model() -> Released:
    """The toy model."""
    return released_model(TOY)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make_conditions(batch: int = 2, side: int = 64) -> Conditions:
    """A road map and a map of land cover; the other four are absent."""
    maps = torch.zeros(batch, 18, side, side)
    maps[:, 9:12] = (draw(batch, 1, side, side, seed=1) > 0.5).float()
    maps[:, 15:] = draw(batch, 3, side, side, seed=2).sigmoid()
    return Conditions(
        text=draw(batch, TOY.text_tokens, TOY.context, seed=3),
        maps=maps,
        global_control=draw(batch, 2 * TOY.context, seed=4),
        metadata=torch.tensor([[2015.0, 6, 15, 0.5, 10, 60, 25]]).repeat(batch, 1),
    )


# Layout at full size


@pytest.mark.parametrize("prefix", EXPECTED)
def test_tensors_and_parameters(full: dict[str, Tensor], prefix: str) -> None:
    expected = EXPECTED[prefix]
    tensors, parameters = count(full, prefix)
    assert tensors == expected.tensors
    assert round(parameters / 1e6, 2) == expected.millions
    assert expected.parameters in (None, parameters)


def test_nothing_else_but_the_schedule(full: dict[str, Tensor]) -> None:
    rest = {name: tensor for name, tensor in full.items() if not name.startswith(tuple(EXPECTED))}
    assert len(rest) == BUFFERS
    assert {tuple(tensor.shape) for tensor in rest.values()} == {(1000,)}
    assert rest.keys() == schedule_buffers().keys()
    assert round(count(full, "")[1] / 1e9, 3) == 1.536


def test_listed_shapes_of_the_adapter(full: dict[str, Tensor]) -> None:
    for name, shape in SHAPES.items():
        assert tuple(full[f"local_adapter.{name}.weight"].shape) == shape, name
        assert tuple(full[f"local_adapter.{name}.bias"].shape) == shape[:1], name
    for k, width in enumerate([320] * 4 + [640] * 3 + [1280] * 5):
        assert tuple(full[f"local_adapter.zero_convs.{k}.0.weight"].shape) == (width, width, 1, 1)


def test_listed_shapes_of_the_first_blocks(full: dict[str, Tensor]) -> None:
    for block, (before, after, local) in FDN_WIDTHS.items():
        prefix = f"local_adapter.input_blocks.{block}.0."
        for norm, width in (("norm_in", before), ("norm_out", after)):
            for name, shape in {
                "fdn.conv_gamma": (width, local, 3, 3),
                "fdn.conv_beta": (width, local, 3, 3),
                "attention.query_conv": (width // 8, width, 1, 1),
                "attention.key_conv": (width // 8, width, 1, 1),
                "attention.value_conv": (width, width, 1, 1),
            }.items():
                assert tuple(full[f"{prefix}{norm}.{name}.weight"].shape) == shape
                assert tuple(full[f"{prefix}{norm}.{name}.bias"].shape) == shape[:1]
        names = {name.removeprefix(prefix) for name in full if name.startswith(prefix)}
        plain = {name for name in names if not name.startswith("norm_")}
        expected = {"in_layers.2", "emb_layers.1", "out_layers.3"}
        if block in (4, 7):
            expected.add("skip_connection")
        assert plain == {f"{name}.{kind}" for name in expected for kind in ("weight", "bias")}


def test_where_the_adapter_has_transformers(full: dict[str, Tensor]) -> None:
    names = [name.split(".") for name in full if name.startswith("local_adapter.input_blocks.")]
    assert {block for _, _, block, *rest in names if rest[:2] == ["1", "proj_in"]} == set("124578")
    assert {block for _, _, block, *rest in names if rest[0] == "1"} == set("124578")


def test_listed_shapes_of_the_global_parts(full: dict[str, Tensor]) -> None:
    content = {
        "ff1.net.0.proj": (6144, 768),
        "ff1.net.2": (1536, 3072),
        "ff2.net.0.proj": (12288, 1536),
        "ff2.net.2": (3072, 6144),
        "norm1": (768,),
        "norm2": (1536,),
    }
    for name, shape in content.items():
        assert tuple(full[f"global_content_adapter.{name}.weight"].shape) == shape
        assert tuple(full[f"global_content_adapter.{name}.bias"].shape) == shape[:1]
    for k in range(7):
        assert tuple(full[f"metadata_emb.mlp_models.{k}.fc1.weight"].shape) == (1280, 320)
        assert tuple(full[f"metadata_emb.mlp_models.{k}.fc1.bias"].shape) == (1280,)


def test_toy_has_the_same_names(full: dict[str, Tensor], model: Released) -> None:
    """But for the layers of the text model, of which it has fewer."""
    toy = model.state_dict()
    assert [name for name in full if name in toy] == list(toy)
    assert all(".text_model.encoder.layers." in name for name in full.keys() - toy.keys())
    assert all(toy[name].ndim == full[name].ndim for name in toy)


# Against other implementations


def test_unet_equals_that_of_diffusers(model: Released) -> None:
    """Metadata enter as the class embedding, residuals as those of a ControlNet."""
    other = UNet2DConditionModel(
        block_out_channels=TOY.levels,
        cross_attention_dim=TOY.context,
        attention_head_dim=TOY.heads,
        class_embed_type="identity",
    )
    config = {**other.config, "class_embed_type": None}  # which has no weights to convert
    other.load_state_dict(convert_ldm_unet_checkpoint(model.state_dict(), config))
    x, metadata = draw(2, 4, 16, 16), draw(2, TOY.time_channels)
    times, context = torch.tensor([7, 981]), draw(2, 81, TOY.context)
    maps = draw(2, 18, 128, 128).sigmoid()
    with torch.no_grad():
        residuals = model.local_adapter(x, times, context, maps)
        got = model.model.diffusion_model(x, times, context, metadata, residuals)
        expected = other.eval()(
            x,
            times,
            context,
            class_labels=metadata,
            down_block_additional_residuals=tuple(residuals[:-1]),
            mid_block_additional_residual=residuals[-1],
        ).sample
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_autoencoder_equals_that_of_diffusers(model: Released) -> None:
    channels = [TOY.vae_channels * mult for mult in TOY.vae_mult]
    other = AutoencoderKL(
        block_out_channels=channels,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=2,
        latent_channels=4,
    ).eval()
    other.load_state_dict(convert_ldm_vae_checkpoint(model.state_dict(), other.config))
    image, latents = draw(2, 3, 64, 64).tanh(), draw(2, 4, 8, 8)
    with torch.no_grad():
        mean, deviation = model.first_stage_model.moments(image)
        expected = other.encode(image).latent_dist
        torch.testing.assert_close(mean, expected.mean, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(deviation, expected.std, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            model.first_stage_model.decode(latents),
            other.decode(latents / 0.18215).sample,
            rtol=1e-4,
            atol=1e-4,
        )


def test_text_model_equals_that_of_transformers(model: Released) -> None:
    transformers: Any = pytest.importorskip("transformers")
    other = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=TOY.vocabulary,
            hidden_size=TOY.context,
            intermediate_size=4 * TOY.context,
            num_hidden_layers=TOY.text_layers,
            num_attention_heads=TOY.text_heads,
            hidden_act="quick_gelu",
            bos_token_id=1,
            eos_token_id=2,
        )
    ).eval()
    state = model.cond_stage_model.transformer.state_dict()
    if not any(name.startswith("text_model.") for name in other.state_dict()):
        state = {name.removeprefix("text_model."): tensor for name, tensor in state.items()}
    other.load_state_dict(state)
    ids = torch.randint(0, TOY.vocabulary, (2, 77), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = other(ids).last_hidden_state
    torch.testing.assert_close(model.encode_text(ids), expected, rtol=1e-4, atol=1e-4)


def make_scheduler() -> Any:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="leading",
    )


def test_schedule_equals_that_of_diffusers() -> None:
    scheduler = make_scheduler()
    buffers = schedule_buffers()
    torch.testing.assert_close(buffers["betas"], scheduler.betas)
    torch.testing.assert_close(buffers["alphas_cumprod"], scheduler.alphas_cumprod)
    scheduler.set_timesteps(50)
    assert ddim_timesteps(50) == list(range(1, 982, 20))
    assert ddim_timesteps(50)[::-1] == scheduler.timesteps.tolist()


@pytest.mark.parametrize("eta", [0.0, 0.2])
@pytest.mark.parametrize("index", [49, 20, 1, 0])
def test_step_equals_that_of_diffusers(index: int, eta: float) -> None:
    scheduler = make_scheduler()
    scheduler.set_timesteps(50)
    x, noise, c = draw(2, 4, 8, 8), draw(2, 4, 8, 8, seed=1), make_conditions()
    got = guided_step(
        lambda *_: noise, x, index, c, c, eta=eta, generator=torch.Generator().manual_seed(6)
    )
    expected = scheduler.step(
        noise,
        ddim_timesteps(50)[index],
        x,
        eta=eta,
        variance_noise=draw(2, 4, 8, 8, seed=6) if eta else None,
    ).prev_sample
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


# What only CRS-Diff has


def test_sinusoid_is_interleaved() -> None:
    values = [0.0, 1.5, 977.3]
    expected = []
    for value in values:
        row = []
        for i in range(160):
            row += [
                math.sin(value * 10000 ** (-2 * i / 320)),
                math.cos(value * 10000 ** (-2 * i / 320)),
            ]
        expected.append(row)
    got = sinusoid(torch.tensor(values), 320)
    torch.testing.assert_close(got, torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_metadata_is_a_sum_over_fields(model: Released) -> None:
    embedding = model.metadata_emb
    numbers = torch.tensor([[2015.0, 6, 15, 0.5, 10, 60, 25]])
    expected = torch.zeros(1, TOY.time_channels)
    for k in range(7):
        scaled = (float(numbers[0, k]) - LOWEST[k]) / (HIGHEST[k] - LOWEST[k]) * 1000
        layer = embedding.mlp_models[k].get_submodule("fc1")
        expected += layer(sinusoid(torch.tensor([scaled]), TOY.model_channels))
    torch.testing.assert_close(embedding(numbers), expected, rtol=1e-4, atol=1e-4)


def test_no_metadata_is_the_lowest_of_each_field(model: Released) -> None:
    """Sines 0, cosines 1."""
    zeros = torch.tensor([0.0, 1.0]).repeat(TOY.model_channels // 2)[None]
    expected = sum(layer.get_submodule("fc1")(zeros) for layer in model.metadata_emb.mlp_models)
    torch.testing.assert_close(model.metadata_emb(no_metadata()), expected)


def test_metadata_does_not_need_a_batch_of_one() -> None:
    torch.manual_seed(0)
    embedding = MetadataEmbedding(TOY)
    numbers = torch.tensor([[2015.0, 6, 15, 0.5, 10, 60, 25], [1999.0, 1, 2, 3, 4, 5, 6]])
    torch.testing.assert_close(embedding(numbers)[1:], embedding(numbers[1:]))


def test_attention_by_loops_over_pixels() -> None:
    """Softmax of plain dot products, the values weighted by it, the input added."""
    torch.manual_seed(0)
    attention = SelfAttention(16).requires_grad_(False)
    x = 2 * draw(1, 16, 2, 3)
    pixels = [x[0, :, row, column] for row in range(2) for column in range(3)]

    def at(layer: torch.nn.Conv2d, pixel: Tensor) -> Tensor:
        return layer.weight[:, :, 0, 0] @ pixel + layer.get_parameter("bias")

    expected = torch.zeros_like(x)
    for i, pixel in enumerate(pixels):
        query = at(attention.query_conv, pixel)
        logits = [float(query @ at(attention.key_conv, other)) for other in pixels]
        total = sum(math.exp(logit) for logit in logits)
        summed = sum(
            math.exp(logit) / total * at(attention.value_conv, other)
            for logit, other in zip(logits, pixels, strict=True)
        )
        expected[0, :, i // 3, i % 3] = pixel + summed
    torch.testing.assert_close(attention(x), expected, rtol=1e-4, atol=1e-4)


def test_fdn_by_loops_over_groups() -> None:
    torch.manual_seed(0)
    fdn = FDN(64, 8)
    x, local = 3 + draw(1, 64, 4, 4), draw(1, 8, 4, 4)
    normed = torch.empty_like(x)
    for group in range(32):
        part = x[:, 2 * group : 2 * group + 2]
        spread = (part - part.mean()).square().mean()
        normed[:, 2 * group : 2 * group + 2] = (part - part.mean()) / (spread + 1e-5).sqrt()
    expected = normed * (1 + fdn.conv_gamma(local)) + fdn.conv_beta(local)
    torch.testing.assert_close(fdn(x, local), expected, rtol=1e-4, atol=1e-4)


def test_adapter_gives_twelve_and_one(model: Released) -> None:
    c = make_conditions()
    x, times = draw(2, 4, 8, 8), torch.tensor([1, 500])
    outputs = model.local_adapter(x, times, c.text, c.maps)
    sides = [8] * 3 + [4] * 3 + [2] * 3 + [1] * 4
    widths = [32] * 4 + [64] * 3 + [128] * 6
    assert [tuple(o.shape) for o in outputs] == [
        (2, width, side, side) for width, side in zip(widths, sides, strict=True)
    ]
    scales = [0.5 * k for k in range(13)]
    scaled = model.local_adapter(x, times, c.text, c.maps, scales)
    for k in range(13):
        torch.testing.assert_close(scaled[k], outputs[k] * 0.5 * k)


def test_adapter_copies_names_of_the_encoder() -> None:
    """All but the norms of the first blocks, so its weights could begin as the UNet's."""
    with torch.device("meta"):
        adapter, whole = LocalAdapter(FULL), Released(FULL)
    unet = {
        name: tensor.shape
        for name, tensor in whole.model.diffusion_model.state_dict().items()
        if name.startswith(("time_embed", "input_blocks", "middle_block"))
    }
    body = {name: tensor.shape for name, tensor in adapter.state_dict().items()}
    missing = {name for name in unet if body.get(name) != unet[name]}
    assert missing == {
        f"input_blocks.{block}.0.{layers}.0.{kind}"
        for block in FDN_WIDTHS
        for layers in ("in_layers", "out_layers")
        for kind in ("weight", "bias")
    }


def test_no_content_is_four_tokens_of_some_value(model: Released) -> None:
    tokens = model.global_content_adapter(torch.zeros(2, TOY.context))
    assert tokens.shape == (2, 4, TOY.context)
    assert (tokens.flatten(1).std(dim=1) > 0.1).all()
    c = make_conditions()
    context = model.context(c.text, torch.zeros_like(c.global_control), global_strength=0.5)
    torch.testing.assert_close(context, torch.cat([c.text, tokens / 2], dim=1))


def test_second_half_of_the_global_vector_is_not_used(model: Released) -> None:
    c = make_conditions()
    other = c.global_control.clone()
    other[:, TOY.context :] = 9.0
    x, times = draw(2, 4, 8, 8), torch.tensor([1, 500])
    assert torch.equal(
        model.predict(x, times, c), model.predict(x, times, replace(c, global_control=other))
    )


def test_every_other_condition_counts(model: Released) -> None:
    """Far above the tolerance of a test on parity; a prediction is about 1 in size."""
    c = make_conditions()
    x, times = draw(2, 4, 8, 8), torch.tensor([1, 500])
    plain = model.predict(x, times, c)
    assert 0.3 < plain.std() < 3
    later = c.metadata.clone()
    later[:, 1] += 1
    for changed in (
        replace(c, text=c.text.flip(2)),
        replace(c, maps=c.maps.roll(3, dims=1)),
        replace(c, maps=c.maps.roll(1, dims=3)),
        replace(c, global_control=c.global_control.flip(1)),
        replace(c, metadata=later),
    ):
        assert (model.predict(x, times, changed) - plain).abs().max() > 0.02
    assert (model.predict(x, times, c, scales=[0.0] * 13) - plain).abs().max() > 0.1
    assert (model.predict(x, times.flip(0), c) - plain).abs().max() > 0.02


def test_prediction_does_not_depend_on_the_batch(model: Released) -> None:
    c = make_conditions()
    x, times = draw(2, 4, 8, 8), torch.tensor([1, 500])
    alone = Conditions(c.text[1:], c.maps[1:], c.global_control[1:], c.metadata[1:])
    torch.testing.assert_close(
        model.predict(x, times, c)[1:],
        model.predict(x[1:], times[1:], alone),
        rtol=1e-4,
        atol=1e-4,
    )


# Sampling


def test_unconditional_branch(model: Released) -> None:
    c = make_conditions()
    negative = unconditional(c, torch.zeros_like(c.text))
    assert negative.maps is c.maps
    assert negative.metadata is c.metadata
    assert not negative.text.any()
    assert not negative.global_control.any()
    x, times = draw(2, 4, 8, 8), torch.tensor([500, 500])
    on, off = model.predict(x, times, c), model.predict(x, times, negative)
    got = guided_noise(model.predict, x, 500, c, negative, guidance=7.5)
    torch.testing.assert_close(got, off + 7.5 * (on - off), rtol=1e-4, atol=1e-4)


def test_trajectory_of_a_known_image_is_a_straight_one() -> None:
    """A predictor that knows the image leads to its noisy version at level 0, with any steps."""
    clean, x = draw(2, 4, 8, 8, seed=1), draw(2, 4, 8, 8)
    kept = schedule_buffers()["alphas_cumprod"]

    def predict(x: Tensor, times: Tensor, _: Conditions) -> Tensor:
        level = kept[times][:, None, None, None]
        return (x - level.sqrt() * clean) / (1 - level).sqrt()

    for steps in (5, 50):
        first = kept[ddim_timesteps(steps)[-1]]
        noise = (x - first.sqrt() * clean) / (1 - first).sqrt()
        c = make_conditions()
        got = sample(predict, x, c, c.text, steps=steps)
        expected = kept[0].sqrt() * clean + (1 - kept[0]).sqrt() * noise
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


def test_sampling_is_reproducible(model: Released) -> None:
    c, x = make_conditions(1), draw(1, 4, 8, 8)
    seen: list[int] = []

    def run(seed: int, eta: float) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return sample(
            model.predict,
            x,
            c,
            torch.zeros_like(c.text),
            steps=2,
            guidance=2.0,
            eta=eta,
            generator=generator,
            callback=lambda timestep, _: seen.append(timestep),
        )

    noisy, plain = run(0, 0.2), run(0, 0.0)
    assert noisy.isfinite().all()
    assert torch.equal(noisy, run(0, 0.2))
    assert not torch.equal(noisy, run(1, 0.2))
    assert torch.equal(plain, run(1, 0.0))
    assert seen == [501, 1] * 5


def test_last_step_leads_to_level_zero() -> None:
    kept = schedule_buffers()["alphas_cumprod"].tolist()
    at, after = signal_levels(50)
    assert (at[0], after[0]) == (kept[1], kept[0])
    assert (at[49], after[49]) == (kept[981], kept[961])


# The file


def test_file_is_read_without_pickled_code(tmp_path: Path, model: Released) -> None:
    path = tmp_path / "last.ckpt"
    published_checkpoint(path, position_ids=True, optimizer=True)
    content = torch.load(path, weights_only=True, map_location="cpu")
    assert set(content) == {
        "epoch",
        "global_step",
        "pytorch-lightning_version",
        "state_dict",
        "callbacks",
        "optimizer_states",
        "lr_schedulers",
        "hyper_parameters",
    }
    state = content["state_dict"]
    assert state.pop(POSITION_IDS).shape == (1, 77)
    expected = model.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in state)
    moments = content["optimizer_states"][0]["state"]
    assert len(moments) == sum(name.startswith(TRAINED) for name in state) == 414 + 12 + 14


def test_bare_file_in_half_precision(tmp_path: Path) -> None:
    path = tmp_path / "bare.ckpt"
    written = published_checkpoint(path, dtype=torch.float16, wrapper=False)
    state = torch.load(path, weights_only=True)
    assert list(state) == list(written)
    assert state["betas"].dtype == torch.float32
    assert state["local_adapter.time_embed.0.weight"].dtype == torch.float16


def test_weights_depend_on_name_and_seed_alone(model: Released) -> None:
    state, other = model.state_dict(), published_state_dict(TOY, seed=1)
    for name, tensor in model.named_parameters():
        assert tensor.count_nonzero() > 0.99 * tensor.numel(), name
        assert not torch.equal(other[name], tensor), name
    wider = published_state_dict(replace(TOY, text_layers=1))
    assert all(torch.equal(tensor, state[name]) for name, tensor in wider.items())
