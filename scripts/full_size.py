"""Convert a checkpoint of the published size, load it and take a guided step: time and memory.

The checkpoint is made at the time, with random weights under the published names and shapes; it
takes 6.1 GB of disk and as much memory, and its conversion as much disk again. Every stage is a
process of its own, so that each has a peak of its own::

    python scripts/full_size.py --work /tmp/full-size > full-size.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"
VOCABULARY = 49408


def make_checkpoint(work: Path) -> dict[str, Any]:
    """Write ``last.ckpt`` and a tokenizer of CLIP's size."""
    sys.path.insert(0, str(TESTS))
    from rendering.checkpoint import published_checkpoint
    from rendering.widths import FULL

    state = published_checkpoint(work / "last.ckpt", FULL, position_ids=True)
    clip = work / "clip"
    clip.mkdir()
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += [f"unused{k}" for k in range(VOCABULARY - len(words) - 2)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = json.dumps({word: k for k, word in enumerate(words)})
    (clip / "vocab.json").write_text(vocabulary, encoding="utf-8")
    (clip / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    size = (work / "last.ckpt").stat().st_size
    return {"tensors": len(state), "gigabytes": round(size / 1e9, 2)}


def take_step(work: Path, dtype: str) -> dict[str, Any]:
    """Load the converted model and take one guided step at 512 px."""
    import torch

    from rsaug.pipelines.pipeline import CRSDiffPipeline

    began = time.perf_counter()
    pipe = CRSDiffPipeline.from_pretrained(
        work / "model", use_safetensors=True, dtype=getattr(torch, dtype)
    )
    loaded = time.perf_counter() - began
    controls = torch.zeros(1, 18, 512, 512)
    controls[:, 9:12, 240:272] = 1
    present = torch.tensor([[0.0, 0, 0, 1, 0, 0]])
    times: list[float] = []

    def note(*_: Any) -> dict[str, Any]:
        times.append(time.perf_counter())
        return {}

    latents = torch.randn((1, 4, 64, 64), generator=torch.Generator().manual_seed(0))
    began = time.perf_counter()
    out = pipe(
        controls,
        present,
        prompt="a road",
        num_inference_steps=1,
        latents=latents,
        output_type="latent",
        callback_on_step_end=note,
    ).images
    return {
        "load_s": round(loaded, 1),
        "guided_step_s": round(times[0] - began, 1),
        "finite": bool(torch.isfinite(out).all()),
        "latent_deviation": round(float(out.std()), 3),
    }


def measured(*command: str) -> tuple[dict[str, Any], str]:
    """Seconds and peak memory of a command, and what it wrote."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    peak = usage.ru_maxrss * 1024 / 2**30
    seconds = time.perf_counter() - began
    return {"seconds": round(seconds, 1), "peak_gib": round(peak, 2)}, text


def run(work: Path, dtypes: list[str]) -> dict[str, Any]:
    """All stages, one after the other."""

    def stage(name: str, *more: str) -> dict[str, Any]:
        usage, text = measured(
            sys.executable, __file__, "--work", str(work), "--stage", name, *more
        )
        return {**usage, **json.loads(text)}

    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            name: version(name) for name in ("rsaug", "torch", "diffusers", "transformers")
        },
        "checkpoint": stage("checkpoint"),
    }
    command = [sys.executable, "-c", "from rsaug.cli import main; main()", "models", "convert"]
    files = [str(work / "last.ckpt"), str(work / "model"), "--clip", str(work / "clip"), "--json"]
    usage, text = measured(*command, *files)
    report = json.loads(text)
    placed, left_out = sum(report["tensors"].values()), len(report["discarded"])
    result["conversion"] = {
        **usage,
        "tensors_placed": placed,
        "constants_left_out": left_out,
        "accounted_for": (placed + left_out) / result["checkpoint"]["tensors"],
        "parameters": sum(report["parameters"].values()),
    }
    (work / "last.ckpt").unlink()
    result["steps"] = {dtype: stage("step", "--dtype", dtype) for dtype in dtypes}
    return result


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="new folder; removed at the end")
    parser.add_argument("--dtype", action="append", help="of the step: float32, bfloat16")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage == "checkpoint":
        result = make_checkpoint(given.work)
    elif given.stage == "step":
        result = take_step(given.work, given.dtype[0])
    else:
        given.work.mkdir()
        try:
            result = run(given.work, given.dtype or ["bfloat16", "float32"])
        finally:
            shutil.rmtree(given.work, ignore_errors=True)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
