"""Where each tensor of the published checkpoint goes: from names of LDM to those of diffusers.

The rules are those of the two layouts, for any number of levels and blocks; what they give is
compared with the names and shapes of the networks, so that a rule that fails cannot go unseen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

PREFIXES: Mapping[str, str] = MappingProxyType(
    {
        "unet": "model.diffusion_model.",
        "vae": "first_stage_model.",
        "text_encoder": "cond_stage_model.transformer.text_model.",
        "local_adapter": "local_adapter.",
        "content_adapter": "global_content_adapter.",
        "metadata_embedding": "metadata_emb.",
    }
)
"""What the names of each of our components begin with in the published file."""

SCHEDULE = (
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "logvar",
)
"""Constants of the noise schedule, at the root of the published file."""

_LEFT_OUT = frozenset(
    {*SCHEDULE, "lvlb_weights", PREFIXES["text_encoder"] + "embeddings.position_ids"}
)

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
    # Of the blocks that take in the controls.
    "norm_in.attention.query_conv": "norm1.attention.query",
    "norm_in.attention.key_conv": "norm1.attention.key",
    "norm_in.attention.value_conv": "norm1.attention.value",
    "norm_in.fdn.conv_gamma": "norm1.scale",
    "norm_in.fdn.conv_beta": "norm1.shift",
    "norm_out.attention.query_conv": "norm2.attention.query",
    "norm_out.attention.key_conv": "norm2.attention.key",
    "norm_out.attention.value_conv": "norm2.attention.value",
    "norm_out.fdn.conv_gamma": "norm2.scale",
    "norm_out.fdn.conv_beta": "norm2.shift",
}
_TIME = {"time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2"}
_VAE_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}


def is_left_out(name: str) -> bool:
    """Whether a tensor of the published file is a constant that no component holds."""
    return name in _LEFT_OUT


def component_of(name: str) -> str | None:
    """The component that a tensor of the published file belongs to."""
    return next((part for part, start in PREFIXES.items() if name.startswith(start)), None)


def name_map(component: str, names: Iterable[str]) -> dict[str, str]:
    """Our name of each tensor of a component; a name that no rule knows is left out.

    Args:
        component: a key of :data:`PREFIXES`.
        names: names in the published file, with their prefix; those of the whole component, since
            the numbers of blocks and levels are told from them.
    """
    start = PREFIXES[component]
    inner = [name.removeprefix(start) for name in names]
    rule = _rule(component, inner)
    found = {start + name: rule(name) for name in inner}
    return {name: ours for name, ours in found.items() if ours is not None}


def _rule(component: str, names: list[str]) -> Callable[[str], str | None]:
    if component == "unet":
        period = _period(names)
        return lambda name: _unet(name, period)
    if component == "local_adapter":
        period = _period(names)
        return lambda name: _adapter(name, period)
    if component == "vae":
        levels = 1 + max(_numbers(r"decoder\.up\.(\d{1,4})\.", names), default=0)
        return lambda name: _vae(name, levels)
    if component == "metadata_embedding":
        return lambda name: _replace(r"mlp_models\.(\d{1,4})\.fc1\.", r"projections.\1.", name)
    # Of the text model and the content adapter both sides have the same names.
    return lambda name: name


def _unet(name: str, period: int) -> str | None:
    stem, _, leaf = name.rpartition(".")
    plain = {
        **_TIME,
        "input_blocks.0.0": "conv_in",
        "out.0": "conv_norm_out",
        "out.2": "conv_out",
    }
    if stem in plain:
        return f"{plain[stem]}.{leaf}"
    if name.startswith("middle_block."):
        return _middle(name, "mid_block.attentions.0", "mid_block.resnets")
    match = re.match(r"(input|output)_blocks\.(\d{1,4})\.(\d)\.(.+)$", name)
    if match is None:
        return None
    side, block, part, rest = match[1], int(match[2]), match[3], match[4]
    level, k = divmod(block - (side == "input"), period)
    where = f"{'down' if side == 'input' else 'up'}_blocks.{level}"
    if rest == f"op.{leaf}":
        return f"{where}.downsamplers.0.conv.{leaf}"
    if rest == f"conv.{leaf}":
        return f"{where}.upsamplers.0.conv.{leaf}"
    if part == "0":
        return _resnet(f"{where}.resnets.{k}", rest)
    return f"{where}.attentions.{k}.{rest}" if part == "1" else None


def _adapter(name: str, period: int) -> str | None:
    stem, _, leaf = name.rpartition(".")
    plain = {**_TIME, "input_blocks.0.0": "conv_in", "middle_block_out.0": "mid_output"}
    if stem in plain:
        return f"{plain[stem]}.{leaf}"
    if name.startswith("feature_extractor."):
        return _pyramid(name.removeprefix("feature_extractor."))
    if name.startswith("zero_convs."):
        return _replace(r"zero_convs\.(\d{1,4})\.0\.", r"down_outputs.\1.", name)
    if name.startswith("middle_block."):
        return _middle(name, "mid.attention", "mid.resnets")
    match = re.match(r"input_blocks\.(\d{1,4})\.([01])\.(.+)$", name)
    if match is None:
        return None
    level, k = divmod(int(match[1]) - 1, period)
    rest = match[3]
    if rest == f"op.{leaf}":
        return f"levels.{level}.downsample.conv.{leaf}"
    if match[2] == "1":
        return f"levels.{level}.attentions.{k}.{rest}"
    block = f"resnets.{k - 1}" if k else "local"
    return _resnet(f"levels.{level}.{block}", rest)


def _pyramid(name: str) -> str | None:
    if match := re.match(r"pre_extractor\.(\d{1,4})\.(\w+)$", name):
        # Between two convolutions lies an activation.
        return None if int(match[1]) % 2 else f"pyramid.stem.{int(match[1]) // 2}.{match[2]}"
    if name.startswith("extractors."):
        return _replace(r"extractors\.(\d{1,4})\.0\.", r"pyramid.levels.\1.", name)
    return _replace(r"zero_convs\.(\d{1,4})\.", r"pyramid.outputs.\1.", name)


def _vae(name: str, levels: int) -> str | None:
    if name.startswith(("quant_conv.", "post_quant_conv.")):
        return name
    match = re.match(r"(encoder|decoder)\.(.+)$", name)
    if match is None:
        return None
    half, rest = match[1], match[2]
    if rest.startswith(("conv_in.", "conv_out.")):
        return name
    if rest.startswith("norm_out."):
        return f"{half}.conv_{rest}"
    if found := re.match(r"mid\.block_([12])\.(.+)$", rest):
        return f"{half}.mid_block.resnets.{int(found[1]) - 1}.{_shortcut(found[2])}"
    if found := re.match(r"mid\.attn_1\.(\w+)\.(\w+)$", rest):
        part = _VAE_ATTENTION.get(found[1])
        return part and f"{half}.mid_block.attentions.0.{part}.{found[2]}"
    found = re.match(
        r"(down|up)\.(\d{1,4})\.(?:block\.(\d{1,4})\.(.+)|(?:down|up)sample\.(conv\..+))$", rest
    )
    if found is None:
        return None
    # The decoder's levels are counted from the image in one layout, from the latent in the other.
    level = int(found[2]) if found[1] == "down" else levels - 1 - int(found[2])
    where = f"{half}.{found[1]}_blocks.{level}"
    if found[3] is None:
        return f"{where}.{found[1]}samplers.0.{found[5]}"
    return f"{where}.resnets.{found[3]}.{_shortcut(found[4])}"


def _shortcut(name: str) -> str:
    return name.replace("nin_shortcut.", "conv_shortcut.")


def _middle(name: str, attention: str, resnets: str) -> str | None:
    _, part, rest = (*name.split(".", 2), "")[:3]
    if part == "1":
        return f"{attention}.{rest}"
    return _resnet(f"{resnets}.{int(part) // 2}", rest) if part in ("0", "2") else None


def _resnet(where: str, name: str) -> str | None:
    stem, _, leaf = name.rpartition(".")
    return f"{where}.{_RESNET[stem]}.{leaf}" if stem in _RESNET else None


def _replace(pattern: str, by: str, name: str) -> str | None:
    new, count = re.subn(f"^{pattern}", by, name)
    return new if count else None


def _period(names: Iterable[str]) -> int:
    """Blocks from one level to the next: the first way down comes after those of one level."""
    return min(_numbers(r"input_blocks\.([1-9]\d{0,3})\.0\.op\.", names), default=1 << 30)


def _numbers(pattern: str, names: Iterable[str]) -> set[int]:
    return {int(match[1]) for match in (re.match(pattern, name) for name in names) if match}
