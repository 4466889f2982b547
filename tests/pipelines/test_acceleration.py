"""What makes a pipeline fast or small must leave its images as they are, but for rounding."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from torch import nn
from toy import SIDE, controls, generators, toy_pipeline

from rsaug.errors import InputError
from rsaug.pipelines.acceleration import (
    OFFLOADS,
    Acceleration,
    accelerate_pipeline,
    offload_pipeline,
)

hooks = pytest.importorskip("accelerate.hooks")

ROAD = 3
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def image(pipe: Any, count: int = 1) -> Any:
    """Images that need every network: text, content, metadata, decoder and encoder."""
    style = torch.linspace(-1, 1, 3 * SIDE * SIDE).view(1, 3, SIDE, SIDE)
    seeds = generators(*range(count))
    call = {"content_image": style, "generator": seeds, "prompt": "road trees"}
    return pipe(*controls(count, ROAD), **call).images


def kl_pipeline() -> Any:
    """The toy pipeline with an autoencoder of Stable Diffusion's kind."""
    pipe = toy_pipeline()
    torch.manual_seed(4)
    pipe.vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIDE,
    ).eval()
    return pipe


@pytest.fixture(scope="module")
def plain() -> Any:
    return image(toy_pipeline())


@pytest.fixture(scope="module")
def plain_kl() -> Any:
    return image(kl_pipeline())


def parameters(pipe: Any) -> list[nn.Parameter]:
    networks = [part for part in pipe.components.values() if isinstance(part, nn.Module)]
    return [p for network in networks for p in network.parameters()]


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_layout_in_memory_is_seen_in_the_last_digits_alone(
    plain: Any, channels_last: bool
) -> None:
    pipe = toy_pipeline()
    done = accelerate_pipeline(pipe, Acceleration(channels_last=channels_last), CPU)
    assert done == Acceleration(dtype="float32", channels_last=channels_last)
    np.testing.assert_allclose(image(pipe), plain, atol=1e-4)
    weight = pipe.unet.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert all(p.device.type == "cpu" for p in parameters(pipe))


def test_bfloat16_is_all_of_the_pipeline_and_close(plain: Any) -> None:
    pipe = toy_pipeline()
    accelerate_pipeline(pipe, Acceleration(dtype="bfloat16"), CPU)
    assert {p.dtype for p in parameters(pipe)} == {torch.bfloat16}
    made = image(pipe)
    assert made.dtype == np.float32
    assert 0 < np.abs(made - plain).mean() < 0.02


def test_a_batch_decoded_one_by_one_is_the_same() -> None:
    pipe = toy_pipeline()
    together = image(pipe, 3)
    accelerate_pipeline(pipe, Acceleration(channels_last=False, vae_slicing=True), CPU)
    assert pipe.vae.use_slicing
    np.testing.assert_allclose(image(pipe, 3), together, atol=1e-5)


def test_pieces_are_blended_only_where_an_image_is_larger_than_one(plain_kl: Any) -> None:
    pipe = kl_pipeline()
    accelerate_pipeline(pipe, Acceleration(channels_last=False, vae_tiling=True), CPU)
    assert np.array_equal(image(pipe), plain_kl)
    large = torch.randn(1, 4, 16, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pieces = pipe.decode_latents(large)
        pipe.vae.disable_tiling()
        whole = pipe.decode_latents(large)
    assert pieces.shape == whole.shape
    assert not torch.equal(pieces, whole)
    # The corner that no other piece reaches; only the norms see how large the image is.
    assert (pieces - whole)[..., :32, :32].abs().mean() < 0.2 * whole.std()


def test_the_networks_of_the_loop_are_compiled(plain: Any) -> None:
    """That compiled ones make the same image takes minutes; the benchmark checks it."""
    pipe = toy_pipeline()
    accelerate_pipeline(pipe, Acceleration(compile=True), CPU)
    for network in (pipe.unet, pipe.local_adapter, pipe.vae.decoder):
        assert network._compiled_call_impl is not None
    with torch.compiler.set_stance("force_eager"):
        np.testing.assert_allclose(image(pipe), plain, atol=1e-4)


@pytest.mark.parametrize("offload", OFFLOADS)
@pytest.mark.parametrize("make", [toy_pipeline, kl_pipeline])
def test_offloaded_networks_make_the_same_image(offload: str, make: Any) -> None:
    """On the CPU, which is where they wait, too; a GPU is nothing that tests have."""
    expected = image(make())
    pipe = make()
    offload_pipeline(pipe, offload, CPU)
    for _ in range(2):
        assert np.array_equal(image(pipe), expected)


def test_layers_hold_no_weights_before_and_after() -> None:
    pipe = toy_pipeline()
    offload_pipeline(pipe, "layer", CPU)
    image(pipe)
    for network in (pipe.unet, pipe.local_adapter, pipe.vae, pipe.metadata_embedding):
        assert {p.device.type for p in network.parameters()} == {"meta"}


@pytest.mark.parametrize("make", [toy_pipeline, kl_pipeline])
def test_no_weight_is_used_before_its_network_is_called_for(make: Any) -> None:
    """Each network as a whole has no weights until a hook of its own brings them.

    Offload by model relies on it: whatever a network is asked for besides its forward - controls
    to encode, images to decode - has to call the hook as well.
    """
    expected = image(make())
    pipe = make()
    for part in pipe.components.values():
        if isinstance(part, nn.Module):
            hook = hooks.AlignDevicesHook(CPU, offload=True, place_submodules=True)
            hooks.add_hook_to_module(part, hook)
    assert {p.device.type for p in parameters(pipe)} == {"meta"}
    assert np.array_equal(image(pipe), expected)


@pytest.mark.parametrize(
    ("acceleration", "device", "complaint"),
    [
        (Acceleration(dtype="int8"), CPU, "No dtype is called 'int8'"),
        (Acceleration(offload="disk"), GPU, "by model or by layer, not by 'disk'"),
        (Acceleration(offload="model"), CPU, "the device is the CPU"),
        (Acceleration(offload="layer", compile=True), GPU, "cannot be offloaded"),
    ],
)
def test_what_cannot_be_is_said(
    acceleration: Acceleration, device: torch.device, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        acceleration.check(device)


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="needs the C\\+\\+ compiler no-such-compiler"):
        Acceleration(compile=True).check(CPU)


def test_the_format_follows_the_device() -> None:
    assert Acceleration().resolved(CPU).dtype == "float32"
    assert Acceleration().resolved(GPU).dtype == "bfloat16"
    assert Acceleration(dtype="float16").resolved(GPU).dtype == "float16"
