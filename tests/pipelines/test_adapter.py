"""What the adapter has to do."""

from pathlib import Path

import pytest
import torch
from toy import SIDE, controls, toy_adapter

from rsaug.conditions.stack import SLOTS
from rsaug.pipelines.adapter import AdapterLevel, LocalAdapter, SpatialSelfAttention
from rsaug.pipelines.content import ContentAdapter
from rsaug.pipelines.presets import DEFAULT, SD15, make_networks


def test_published_size() -> None:
    """The default configuration has the published model's tensors and parameters."""
    with torch.device("meta"):
        adapter = LocalAdapter()
    assert len(adapter.state_dict()) == 414
    assert sum(p.numel() for p in adapter.parameters()) == 419_462_288


def test_published_networks() -> None:
    with torch.device("meta"):
        unet, _, metadata, content = make_networks(SD15)
    assert sum(p.numel() for p in unet.parameters()) == 859_520_964
    assert len(unet.state_dict()) == 686
    assert sum(p.numel() for p in metadata.parameters()) == 7 * (320 * 1280 + 1280)
    assert sum(p.numel() for p in content.parameters()) == 47_213_568
    assert len(metadata.state_dict()) == 14


def test_residuals_fit_the_unet() -> None:
    with torch.device("meta"):
        unet, adapter, *_ = make_networks(DEFAULT)
    widths = [conv.out_channels for conv in adapter.down_outputs]
    assert widths == [128, 128, 128, 192, 192, 256]
    assert adapter.mid_output.out_channels == unet.config.block_out_channels[-1]


def test_published_residuals() -> None:
    with torch.device("meta"):
        adapter = LocalAdapter()
    widths = [conv.out_channels for conv in adapter.down_outputs]
    assert widths == [320] * 4 + [640] * 3 + [1280] * 5


@pytest.mark.parametrize("channels_last", [False, True])
def test_attention_is_unscaled(channels_last: bool) -> None:
    """softmax(q k) v with no 1/sqrt(d), one head, the input added."""
    torch.manual_seed(0)
    attention = SpatialSelfAttention(16)
    x = 3 * torch.randn(2, 16, 5, 7)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    q, k, v = (conv(x).flatten(2) for conv in (attention.query, attention.key, attention.value))
    weights = torch.einsum("bci,bcj->bij", q, k).softmax(-1)
    expected = x + torch.einsum("bij,bcj->bci", weights, v).reshape(x.shape)
    torch.testing.assert_close(attention(x), expected, rtol=1e-5, atol=1e-5)


def test_modulation_is_neutral_without_features() -> None:
    """Unmodulated, FDN is a plain group norm after the attention."""
    adapter = toy_adapter()
    level = adapter.levels[0]
    assert isinstance(level, AdapterLevel)
    norm = level.local.norm1
    x = torch.randn(1, 8, 4, 4)
    zero = torch.zeros_like(x)
    expected = torch.nn.functional.group_norm(norm.attention(x), 8)
    torch.testing.assert_close(norm(x, (zero, zero)), expected)


def test_presence_tells_empty_from_absent() -> None:
    adapter = toy_adapter()
    maps = torch.zeros(1, 18, SIDE, SIDE)
    empty = adapter.encode_controls(maps, torch.tensor([[0, 0, 0, 1.0, 0, 0]]))
    absent = adapter.encode_controls(maps, torch.zeros(1, 6))
    assert any(not torch.equal(a[0], b[0]) for a, b in zip(empty, absent, strict=True))


def test_without_presence_planes_flags_are_ignored() -> None:
    adapter = toy_adapter(presence_channels=0)
    maps, present = controls(1, 3)
    for a, b in zip(
        adapter.encode_controls(maps, present),
        adapter.encode_controls(maps, torch.zeros_like(present)),
        strict=True,
    ):
        assert torch.equal(a[0], b[0])


def test_levels_must_agree() -> None:
    with pytest.raises(ValueError, match="one entry a level"):
        toy_adapter(inject_channels=(8, 8, 8))


def test_round_trip(tmp_path: Path) -> None:
    adapter = toy_adapter()
    adapter.save_pretrained(tmp_path)
    again = LocalAdapter.from_pretrained(tmp_path)
    for name, tensor in adapter.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert dict(again.config)["inject_channels"] == [8, 8]


def test_absent_content_is_constant() -> None:
    adapter = ContentAdapter(8, 16, 4).eval()
    tokens = adapter(torch.zeros(3, 8))
    assert tokens.shape == (3, 4, 16)
    assert torch.equal(tokens[0], tokens[2])
    assert tokens.abs().max() > 0


@pytest.mark.parametrize("zero_init", [True, False])
def test_an_untrained_adapter_says_nothing_or_follows_the_road(zero_init: bool) -> None:
    adapter = toy_adapter(zero_init=zero_init)
    maps, present = controls(1, SLOTS.index("road"))
    modulation = adapter.encode_controls(maps, present)
    moved = torch.stack([scale.std((0, 2, 3)).mean() for scale, _ in modulation])
    context = torch.zeros(1, 3, 16)
    out = adapter(torch.randn(1, 4, 8, 8), torch.tensor([5]), context, modulation)
    if zero_init:
        assert not any(residual.any() for residual in (*out.down, out.mid))
        assert not moved.any()
    else:
        assert all(residual.any() for residual in (*out.down, out.mid))
        # The road map comes through the whole pyramid.
        assert moved.min() > 0.01
