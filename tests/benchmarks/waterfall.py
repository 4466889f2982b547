"""Where the time of a denoising step goes: the loop as released, and ours, remedy by remedy.

    export PYTHONPATH=tests
    python -m benchmarks.waterfall --out result.json
    python -m benchmarks.waterfall --device cuda --full --batch 1 8 32 --image-steps 50 20 \
        --peak-tflops 989 --out result.json

The first row does what the published code does at every step, on our own networks: two forwards one
after the other, the metadata embedding element by element, content tokens and control pyramid anew
each time, attention with its whole matrix of logits. Each further row changes one thing and keeps
what is above it. The networks are the published model's, narrower unless `--full`, with random
weights; every row has to predict what the first does. Rows take turns, several times over; given
are the median and the range of the rounds, of which the ratios are made as well.

Beside that, whole calls of our pipeline and of diffusers' ControlNet pipeline at the same widths,
and with `--default-steps 12` images of the default model, run in several ways.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from benchmarks.released_loop import (
    FULL_BASE,
    GUIDANCE,
    ROWS,
    Inputs,
    Loop,
    make_autoencoder,
    make_pipeline,
    make_scheduler,
    scaled,
)
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, UNet2DConditionModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rsaug.pipelines.acceleration import Acceleration, accelerate_pipeline
from rsaug.pipelines.guidance import Branch
from rsaug.pipelines.models import DEFAULT_MODEL, load_pipeline
from rsaug.pipelines.pipeline import CRSDiffPipeline

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.2}
"""How far a guided prediction may be from the first row's, as a share of its norm.

Guidance stretches what bfloat16 rounds off as it does the effect of the conditions.
"""


def make_peer(base: int) -> StableDiffusionControlNetPipeline:
    """Diffusers' ControlNet pipeline with the same widths, random weights."""
    widths = tuple(base * k for k in (1, 2, 4, 4))
    context = scaled(768, base)
    torch.manual_seed(0)
    sizes = {"cross_attention_dim": context, "attention_head_dim": 8, "block_out_channels": widths}
    peer = StableDiffusionControlNetPipeline(
        vae=make_autoencoder(base).eval(),
        text_encoder=None,
        tokenizer=None,
        unet=UNet2DConditionModel(sample_size=64, **sizes).eval(),
        controlnet=ControlNetModel(**sizes).eval(),
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    peer.set_progress_bar_config(disable=True)
    return peer


def _copy(pipe: CRSDiffPipeline) -> CRSDiffPipeline:
    copied = CRSDiffPipeline(**{n: copy.deepcopy(part) for n, part in pipe.components.items()})
    copied.set_progress_bar_config(disable=True)
    return copied


def accelerated(pipe: CRSDiffPipeline, row: str, device: torch.device) -> CRSDiffPipeline:
    """A copy of ``pipe`` with the remedies of a row that are in the networks."""
    done = ROWS[: ROWS.index(row) + 1]
    copied = _copy(pipe)
    options = Acceleration(
        dtype="bfloat16" if "bfloat16" in done else "float32",
        channels_last="channels last" in done,
        compile="compiled" in done,
    )
    accelerate_pipeline(copied, options, device)
    return copied


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long ``work`` takes: on a GPU until its queue is empty.

    On one thread of a CPU it is processor time, which other processes do not lengthen by waiting.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    began = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - began


@torch.no_grad()
def waterfall(
    rows: list[str], base: int, side: int, batch: int, rounds: int, device: torch.device
) -> list[dict[str, Any]]:
    """Seconds a step of each row, and how far its prediction is from the first row's.

    Raises:
        SystemExit: if a row predicts something else.
    """
    plain = make_pipeline(base)
    inputs = Inputs.random(plain, batch, side, device)
    # Rows before the networks themselves are changed share one set of them.
    kinds = {row: max(ROWS.index(row), ROWS.index("one batch")) for row in rows}
    pipes = {k: accelerated(plain, ROWS[k], device) for k in set(kinds.values())}
    loops = {r: Loop(pipes[kinds[r]], inputs, ROWS[1 : ROWS.index(r) + 1]) for r in rows}
    timestep = torch.tensor(501, device=device)
    predictions: dict[str, Tensor] = {}
    times: dict[str, tuple[float, ...]] = dict.fromkeys(rows, ())
    for row, loop in loops.items():
        loop.prepare()
        # The first compiles and chooses kernels.
        _run(loop, inputs, timestep)
        predictions[row] = _run(loop, inputs, timestep).float()
    for _ in range(rounds):
        for row, loop in loops.items():
            loop.prepare()
            taken = seconds(partial(_run, loop, inputs, timestep), device)
            times[row] = (*times[row], taken)
    first, result = predictions[rows[0]], []
    for k, row in enumerate(rows):
        error = float((predictions[row] - first).norm() / first.norm())
        dtype = loops[row].pipe.unet.dtype
        if not error <= TOLERANCE[dtype]:
            raise SystemExit(f"{row}: predicts otherwise than {rows[0]}, by {error:.2g}")
        entry = {"row": row, **_summary(times[row]), "error": float(f"{error:.2g}")}
        entry["times_first"] = _ratio(times[rows[0]], times[row])
        entry["times_above"] = _ratio(times[rows[max(k - 1, 0)]], times[row])
        result.append(entry)
    return result


def _run(loop: Loop, inputs: Inputs, timestep: Tensor) -> Tensor:
    dtype = loop.pipe.unet.dtype
    # As in the pipeline, where latents are float32 and the loop casts them.
    whole = "one batch" in loop.remedies
    return loop(inputs.latents if whole else inputs.latents.to(dtype), timestep)


@torch.no_grad()
def against_peer(
    base: int, side: int, batch: int, steps: int, rounds: int, device: torch.device
) -> dict[str, Any]:
    """Seconds a step of whole calls, without the decoder, of our pipeline and of diffusers'."""
    dtype = "bfloat16" if device.type == "cuda" else "float32"
    ours, peer = make_pipeline(base), make_peer(base)
    options = Acceleration(dtype=dtype, channels_last=True)
    accelerate_pipeline(ours, options, device)
    inputs = Inputs.random(ours, batch, side, device)
    kind = ours.unet.dtype
    for part in (peer.unet, peer.controlnet, peer.vae):
        nn.Module.to(part, device, kind)
        nn.Module.to(part, memory_format=torch.channels_last)
    texts = {b: t.to(kind) for b, t in inputs.texts.items()}

    def call_ours() -> object:
        return ours(
            inputs.maps,
            inputs.present,
            prompt="road",
            num_inference_steps=steps,
            latents=inputs.latents,
            output_type="latent",
        )

    def call_peer() -> object:
        return peer(
            prompt_embeds=texts[Branch.BOUND],
            negative_prompt_embeds=texts[Branch.CONTROLS],
            image=inputs.maps[:, 9:12],
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            latents=inputs.latents.to(kind),
            output_type="latent",
        )

    calls = {"ours": call_ours, "diffusers ControlNet": call_peer}
    times: dict[str, tuple[float, ...]] = dict.fromkeys(calls, ())
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            times[name] = (*times[name], seconds(call, device) / steps)
    return {
        "steps": steps,
        "dtype": dtype,
        **{name: _summary(taken) for name, taken in times.items()},
        "ours_to_peer": _ratio(times["ours"], times["diffusers ControlNet"]),
        "parameters": {
            "ours": _parameters(ours.unet, ours.local_adapter),
            "diffusers ControlNet": _parameters(peer.unet, peer.controlnet),
        },
        "tflop_a_step": {
            "ours": _tflop(call_ours, steps),
            "diffusers ControlNet": _tflop(call_peer, steps),
        },
    }


@torch.no_grad()
def images(
    base: int, side: int, batch: int, steps: int, peak_tflops: float | None, device: torch.device
) -> dict[str, Any]:
    """Images a second of whole calls with all remedies, the decoder included."""
    pipe = make_pipeline(base)
    accelerate_pipeline(pipe, Acceleration(), device)
    inputs = Inputs.random(pipe, batch, side, device)

    def call() -> object:
        return pipe(
            inputs.maps, inputs.present, "road", num_inference_steps=steps, latents=inputs.latents
        )

    tflop = _tflop(call, 1)
    if device.type == "cuda":
        # Compiled, it cannot be counted.
        accelerate_pipeline(pipe, Acceleration(compile=True), device)
    call()
    taken = statistics.median(seconds(call, device) for _ in range(3))
    entry = {"batch": batch, "steps": steps, "images_a_s": batch / taken, "tflop": tflop}
    if peak_tflops is not None:
        entry["share_of_peak"] = tflop / taken / peak_tflops
    return entry


@torch.no_grad()
def default_model(steps: int, rounds: int, device: torch.device) -> list[dict[str, Any]]:
    """Seconds an image of 256 px from the default model, decoder included, run in several ways."""
    ways = {
        "float32": Acceleration(dtype="float32", channels_last=False),
        "float32, channels last": Acceleration(dtype="float32"),
        "bfloat16": Acceleration(dtype="bfloat16", channels_last=False),
        "bfloat16, channels last": Acceleration(dtype="bfloat16"),
        "float32, compiled": Acceleration(dtype="float32", compile=True),
        "bfloat16, compiled": Acceleration(dtype="bfloat16", compile=True),
    }
    maps, present = torch.zeros(1, 18, 256, 256), torch.zeros(1, 6)
    maps[:, 9:12, 100:120], present[:, 3] = 1, 1
    calls: dict[str, Callable[[], Any]] = {}
    for way, acceleration in ways.items():
        pipe = load_pipeline(DEFAULT_MODEL, torch.device("cpu"))
        accelerate_pipeline(pipe, acceleration, device)
        latents = torch.randn(1, 16, 32, 32, generator=torch.Generator().manual_seed(0))
        calls[way] = partial(pipe, maps, present, num_inference_steps=steps, latents=latents)
    prepared = {way: seconds(call, device) for way, call in calls.items()}
    made = {way: call().images for way, call in calls.items()}
    times: dict[str, tuple[float, ...]] = dict.fromkeys(ways, ())
    for _ in range(rounds):
        for way, call in calls.items():
            times[way] = (*times[way], seconds(call, device))
    return [
        {
            "way": way,
            "s_an_image": round(statistics.median(taken), 3),
            "range": [round(min(taken), 3), round(max(taken), 3)],
            "first_image_s": round(prepared[way], 1),
            "times_first": _ratio(times["float32"], taken),
            "levels_off": round(255 * float(abs(made[way] - made["float32"]).mean()), 3),
        }
        for way, taken in times.items()
    ]


def _tflop(call: Callable[[], object], steps: int) -> float:
    """Floating-point operations of a call, 1e12, by step; attention as torch counts it."""
    with FlopCounterMode(display=False) as counter:
        call()
    total: int = counter.get_total_flops()
    return total / steps / 1e12


def _parameters(*networks: nn.Module) -> int:
    return sum(p.numel() for network in networks for p in network.parameters())


def _summary(times: tuple[float, ...]) -> dict[str, Any]:
    return {
        "s_a_step": round(statistics.median(times), 5),
        "range": [round(min(times), 5), round(max(times), 5)],
    }


def _ratio(times: tuple[float, ...], others: tuple[float, ...]) -> float:
    ratios = [a / b for a, b in zip(times, others, strict=True)]
    return round(statistics.median(ratios), 3)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--full", action="store_true", help="as wide as the published model")
    parser.add_argument("--base", type=int, default=96, help="width of the first level, else")
    parser.add_argument("--side", type=int, default=512, help="of the image, in pixels")
    parser.add_argument("--batch", type=int, nargs="*", default=[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--peer-steps", type=int, default=5, help="0 for no peer")
    parser.add_argument("--image-steps", type=int, nargs="*", default=[], help="of whole images")
    parser.add_argument("--default-steps", type=int, default=0, help="of the default model")
    parser.add_argument("--peak-tflops", type=float, help="what the device can do in its dtype")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device, base = torch.device(args.device), FULL_BASE if args.full else args.base
    report: dict[str, Any] = {
        "machine": _machine(device),
        "base": base,
        "side": args.side,
        "rounds": args.rounds,
        "guidance": GUIDANCE,
        "batches": [],
    }
    for batch in args.batch:
        entry: dict[str, Any] = {"batch": batch}
        if args.rows:
            rows = [row for row in ROWS if row in args.rows]
            entry["waterfall"] = waterfall(rows, base, args.side, batch, args.rounds, device)
        _free(device)
        if args.peer_steps:
            entry["peer"] = against_peer(
                base, args.side, batch, args.peer_steps, args.rounds, device
            )
        _free(device)
        for steps in args.image_steps:
            made = images(base, args.side, batch, steps, args.peak_tflops, device)
            entry.setdefault("images", []).append(made)
        report["batches"].append(entry)
        print(json.dumps(entry), flush=True)  # noqa: T201 - the result
    if args.default_steps:
        report["default_model"] = default_model(args.default_steps, args.rounds, device)
        print(json.dumps(report["default_model"]), flush=True)  # noqa: T201 - the result
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _machine(device: torch.device) -> dict[str, Any]:
    name = platform.processor() or platform.machine()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return {
        "python": platform.python_version(),
        "device": name,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        **{library: version(library) for library in ("torch", "diffusers")},
    }


if __name__ == "__main__":
    main()
