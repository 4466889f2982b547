"""Train road detectors on real tiles and measure them, one data set and seed a command.

Each result is a line of JSON; a run that is in the file already is not made again, and one that was
stopped goes on from its last whole epoch::

    for seed in 0 1 2; do
        python scripts/train_detectors.py --data DATA --dataset naip --seed $seed
        python scripts/train_detectors.py --data DATA --dataset massachusetts --seed $seed
    done

with ``DATA`` the folder that holds ``naip-roads`` and ``massachusetts-roads``. ``--synthetic RUN
--ratio X`` adds tiles of ``rsaug synth``. The threshold and the weights are chosen on the val
split; the test split is measured once, at the end.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from rsaug.cli.group import Commands
from rsaug.downstream.datamodules import RoadDataModule
from rsaug.downstream.detector import RoadDetector
from rsaug.downstream.detector_training import train_detector
from rsaug.downstream.metrics.modules import Apls, ClDice, RelaxedOverlap, RoadOverlap
from rsaug.downstream.training_options import DATA, TASK, TrainingOptions
from rsaug.errors import InputError
from rsaug.pipelines.train.machine import read_precision

app = typer.Typer(cls=Commands, help=__doc__)

# Trained on tiles of 256 pixels in both; Massachusetts is measured on 512, whole crops of it.
DATASETS: dict[str, dict[str, Any]] = {
    "naip": {
        "folder": "naip-roads",
        "gsd_m": 0.6,
        "data": {"eval_options": {"years": "image"}, "on_overlap": "drop"},
        "measured_px": None,
    },
    "massachusetts": {
        "folder": "massachusetts-roads",
        "gsd_m": 1.0,
        "data": {"chip_size": 256, "drop_blank": True},
        "measured_px": 512,
    },
}
BATCH, SLACK_PX = 8, 3.0


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the data sets.")],
    dataset: Annotated[str, typer.Option(help="naip or massachusetts.")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
    arch: str = "unet",
    encoder: str = "resnet18",
    loss: str = "bce+dice",
    auxiliary: float = 0.0,
    steps: Annotated[int, typer.Option(min=1)] = 700,
    synthetic: Annotated[list[Path] | None, typer.Option(help="Runs of rsaug synth.")] = None,
    ratio: Annotated[float, typer.Option(help="Share of synthetic tiles.")] = 0.5,
    device: str = "cpu",
    precision: Annotated[str, typer.Option(help="no, bf16 or fp16.")] = "no",
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    runs: Annotated[Path, typer.Option(help="Folder of the detectors.")] = Path("runs/detectors"),
    results: Annotated[Path | None, typer.Option(help="By default results.jsonl there.")] = None,
) -> None:
    """Train one detector, measure it on val and test, and add a line to the results."""
    if dataset not in DATASETS:
        raise InputError(f"The data sets are {', '.join(DATASETS)}, not {dataset!r}.")
    if threads:
        torch.set_num_threads(threads)
    asked: dict[str, Any] = {
        "dataset": dataset,
        "seed": seed,
        "arch": arch,
        "encoder": encoder,
        "loss": loss,
        "auxiliary": auxiliary,
        "steps": steps,
        "precision": precision,
        "synthetic": [run.resolve().name for run in synthetic or ()],
        "ratio": ratio if synthetic else 0.0,
    }
    results = results or runs / "results.jsonl"
    if any(all(line[k] == v for k, v in asked.items()) for line in read_lines(results)):
        typer.echo(f"{results} has this run already.")
        return
    parts = (dataset, arch, encoder, steps, precision, *asked["synthetic"], seed)
    name = "-".join(str(part) for part in parts)
    out = runs / f"{name}-{loss}-{auxiliary:g}-{asked['ratio']:g}".replace("*", "x")
    config = write_config(out, data, dataset)
    given = {k: asked[k] for k in ("arch", "encoder", "loss", "auxiliary", "steps", "seed")}
    options = TrainingOptions(
        config=config,
        synthetic=tuple(synthetic or ()),
        ratio=ratio if synthetic else None,
        device=device,
        precision=read_precision(precision),
        **given,
    )
    began = time.monotonic()
    detector = train_detector(options, out, gsd_m=DATASETS[dataset]["gsd_m"], log=typer.echo)
    seconds = time.monotonic() - began
    measured = {split: scores(detector, data, dataset, split) for split in ("val", "test")}
    line = {
        **asked,
        **measured,
        "threshold": detector.config.threshold,
        "train_seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "device": device,
        "versions": detector.facts["versions"],
        "weights_sha256": detector.facts["weights_sha256"],
    }
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    typer.echo(json.dumps(measured, indent=2))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The results so far."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def data_arguments(data: Path, dataset: str) -> dict[str, Any]:
    """Arguments of the data module for a data set."""
    of = DATASETS[dataset]
    root = str(data / of["folder"])
    return {"dataset": dataset, "root": root, "batch_size": BATCH, **of["data"]}


def write_config(out: Path, data: Path, dataset: str) -> Path:
    """A configuration of a data set, beside where the detector goes. JSON is YAML, too."""
    path = out.with_name(f"{out.name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    config = {
        "model": {"class_path": TASK},
        "data": {"class_path": DATA, "init_args": data_arguments(data, dataset)},
    }
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return path


def scores(detector: RoadDetector, data: Path, dataset: str, split: str) -> dict[str, float]:
    """Scores of the tiles of a split together, at the detector's threshold."""
    of = DATASETS[dataset]
    arguments = data_arguments(data, dataset)
    if of["measured_px"] is not None:
        arguments["chip_size"] = of["measured_px"]
    chips = RoadDataModule(**arguments).real.split(split)
    metrics = (RoadOverlap(), RelaxedOverlap(SLACK_PX), ClDice(), Apls(of["gsd_m"]))
    for k in range(len(chips)):
        sample = chips[k]
        found = detector.predict(sample["image"][None].byte().numpy())
        for metric in metrics:
            metric.update(torch.from_numpy(found), sample["mask"][None])
    found_scores = {name: value for metric in metrics for name, value in metric.compute().items()}
    return {name: round(float(value), 4) for name, value in found_scores.items()}


if __name__ == "__main__":
    app()
