"""``rsaug train roads`` and ``rsaug predict``: from tiles to the roads of an image."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from runfolder import painted_run
from tilefolder import make_tile_folder
from typer.testing import CliRunner, Result

pytest.importorskip("torchgeo", reason="needs the extra `eval`")
pytest.importorskip("skimage", reason="needs the extra `graph`")

from rsaug.cli import app
from rsaug.downstream.detector import DetectorConfig, RoadDetector
from rsaug.downstream.evaluation.run import load_detector
from rsaug.errors import InputError
from rsaug.raster import write_cog

Command = Callable[..., Result]

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with real ``tiles``, an untrained ``detector`` of them, and a synthetic ``run``."""
    folder = tmp_path_factory.mktemp("place")
    make_tile_folder(folder / "tiles")
    painted_run(folder, variants=1)
    RoadDetector(DetectorConfig("fpn", "tu-resnet10t", gsd_m=0.6)).save(folder / "detector")
    return folder


@pytest.fixture
def rsaug(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, in a folder where ``tiles``, ``detector`` and ``run`` are."""
    for name in ("tiles", "detector", "run"):
        (tmp_path / name).symlink_to(place / name)
    monkeypatch.chdir(tmp_path)

    def invoke(*options: str) -> Result:
        return CliRunner().invoke(app, [*options])

    return invoke


def test_from_tiles_to_the_roads_of_an_image(rsaug: Command) -> None:
    how = ("--arch", "linknet", "--encoder", "tu-resnet10t", "--epochs", "1", "--batch", "2")
    result = rsaug("train", "roads", "--real", "tiles", *how, "--device", "cpu", "--out", "found")
    assert result.exit_code == 0, result.output
    assert re.search(r"epoch 0, step 2: loss [\d.]+, val/top_iou [\d.]+", result.stdout)
    assert re.search(r"val: iou [\d.]+, f1 [\d.]+", result.stdout)
    assert "rsaug predict found IMAGE" in result.stdout
    said = json.loads(Path("found/config.json").read_text())
    assert (said["architecture"], said["encoder"]) == ("linknet", "tu-resnet10t")
    assert said["gsd_m"] == 0.6
    assert said["data"]["real"] == {
        "dataset": "rsaug.downstream.roadfolder.RoadFolder",
        "folder": "tiles",
        "train": 4,
        "val": 4,
    }
    image = ("tiles/rgb/c_2018.tif", "--device", "cpu")
    looking = ("--window", "64", "--overlap", "0", "--turns", "--vectors", "roads.gpkg")
    # Whatever has been learned in two steps, from here on everything is road.
    result = rsaug("predict", "found", *image, *looking, "--threshold", "0", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["images"][0]["road_fraction"] == 1
    assert found["vectors"] == "roads.gpkg"
    assert len(gpd.read_file("roads.gpkg")) == found["lines"]
    with rasterio.open("predicted/c_2018_mask.tif") as src:
        assert (src.read(1) == 1).all()
    result = rsaug("predict", "found", *image)
    assert result.exit_code == 0, result.output
    assert "predicted/c_2018_probability.tif" in result.stdout
    assert "% road" in result.stdout


def test_synthetic_tiles_alone(rsaug: Command) -> None:
    how = ("--arch", "linknet", "--encoder", "tu-resnet10t", "--epochs", "1", "--batch", "2")
    train = ("train", "roads", "--synthetic", "run", *how, "--device", "cpu")
    result = rsaug(*train, "--out", "found")
    assert result.exit_code == 0, result.output
    assert "held out to validate on: 1 tile at the eastern end of run" in result.stdout
    assert "nothing about real imagery" in result.stdout
    assert re.search(r"epoch 0, step 2: loss [\d.]+, val/top_iou [\d.]+", result.stdout)
    assert re.search(r"val, synthetic tiles: iou [\d.]+, f1 [\d.]+", result.stdout)
    said = json.loads(Path("found/config.json").read_text())
    assert said["data"]["real"] is None
    assert said["data"]["synthetic"] == [{"run": "run", "train": 3, "val": 1}]
    assert said["data"]["synthetic_share"] == 1
    assert "trained on synthetic tiles alone" in said["data"]["notes"]
    assert said["gsd_m"] == 0.6
    assert {name.partition("/")[0] for name in said["metrics"]} == {"synthetic_val"}
    with pytest.raises(InputError, match="was trained on synthetic tiles"):
        load_detector("found")
    result = rsaug(*train, "--val", "tiles", "--test", "--out", "judged")
    assert result.exit_code == 0, result.output
    assert re.search(r"^val: iou [\d.]+.*\ntest: iou", result.stdout, re.MULTILINE)
    said = json.loads(Path("judged/config.json").read_text())
    assert said["data"]["synthetic"] == [{"run": "run", "train": 4}]
    assert {key: said["data"]["real"][key] for key in ("folder", "train", "val")} == {
        "folder": "tiles",
        "train": 0,
        "val": 4,
    }
    assert "val/iou" in said["metrics"]


def test_the_configuration_of_the_page_is_one(rsaug: Command) -> None:
    page = (DOCS / "detectors.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 1
    Path("roads.yaml").write_text(blocks[0])
    dataset = ("--dataset", "rsaug.downstream.roadfolder.RoadFolder", "--real", "tiles")
    small = ("--arch", "fpn", "--encoder", "tu-resnet10t", "--steps", "1", "--batch", "2")
    result = rsaug("train", "roads", "--config", "roads.yaml", *dataset, *small, "--out", "found")
    assert result.exit_code == 2
    assert "roads-synth is no folder" in result.stderr
    Path("roads.yaml").write_text(blocks[0].replace("[roads-synth]", "null"))
    result = rsaug("train", "roads", "--config", "roads.yaml", *dataset, *small, "--out", "found")
    assert result.exit_code == 0, result.output
    said = json.loads(Path("found/config.json").read_text())
    assert said["architecture"] == "fpn"
    assert said["training"]["loss"] == "bce+dice+0.5*cldice"


YAML = """
model: {class_path: rsaug.downstream.tasks.RoadSegmentationTask}
data: {class_path: rsaug.downstream.datamodules.RoadDataModule, init_args: {root: tiles}}
"""


@pytest.mark.parametrize(
    ("options", "yaml", "message"),
    [
        ("", "", "--real with a folder of real tiles, --synthetic with one of rsaug synth, or"),
        ("--val tiles", "", "Give tiles to train on"),
        ("--synthetic tiles", "", "tiles is no folder of rsaug synth"),
        ("--synthetic run --ratio 0.5", "", "without --real all are synthetic"),
        ("--synthetic run --dataset naip", "", "name some by --real or --val"),
        ("--synthetic run --test", "", "what is tested on has to be real"),
        ("--synthetic run --val run", "", "Nothing is left to train on"),
        ("--synthetic run --val none", "", "none is no folder of tiles"),
        ("--synthetic run --val run --val tiles", "", "or one folder of real tiles; tiles is no"),
        ("--real tiles --synthetic run --val run", "", "--val is for training without real tiles"),
        ("--real none", "", "none is no folder of tiles"),
        ("--real detector", "", "has to be said: --dataset naip"),
        ("--real tiles --dataset moon", "", "No dataset is called 'moon'"),
        ("--real tiles --arch yolo", "", "No architecture is called 'yolo'"),
        ("--real tiles --loss lovasz", "", "No loss is called 'lovasz'"),
        ("--real tiles --steps 2 --epochs 2", "", "exclude each other"),
        ("--real tiles --steps 0", "", "--steps must be 1 or more, not 0"),
        ("--real tiles --ratio 0.5", "", "name some by --synthetic"),
        ("--real tiles --synthetic none", "", "none is no folder"),
        ("--real tiles --gsd -1", "", "--gsd must be above 0, not -1"),
        ("--real tiles --device abacus", "", "'abacus' is not to be had"),
        ("--real tiles --precision fp8", "", "No precision is called 'fp8'"),
        ("--real tiles --device cpu --precision fp16", "", "cannot train in fp16"),
        ("--config none.yaml", "", "no configuration none.yaml"),
        ("--config own.yaml", f"{YAML}trainer: {{max_epoch: 3}}", "max_epoch"),
        ("--config own.yaml", YAML.replace("}\ndata", ", init_args: {archy: 1}}\ndata"), "archy"),
        ("--config own.yaml", YAML.replace("root", "roots"), "roots"),
        ("--config own.yaml", YAML.replace("Road", "Semantic", 1), "cannot be used"),
        ("--config own.yaml", "model: [", "cannot be used"),
    ],
)
def test_wrong_training_is_one_sentence(
    rsaug: Command, options: str, yaml: str, message: str
) -> None:
    if yaml:
        Path("own.yaml").write_text(yaml)
    result = rsaug("train", "roads", *options.split())
    assert result.exit_code == 2, result.output
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("error: ")
    assert message in sentence
    assert not Path("roads-detector").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("none tiles/rgb/a_2018.tif", "none holds no road detector"),
        ("detector none.tif", "none.tif does not exist"),
        ("detector grey.tif", "grey.tif has 1 band, but this detector looks at 3"),
        ("detector photo.tif --vectors roads.gpkg", "photo has no place on Earth"),
        ("detector tiles/rgb/a_2018.tif --threshold 2", "between 0 and 1, not 2"),
        ("detector tiles/rgb/a_2018.tif --window 50", "multiples of 32"),
        ("detector tiles/rgb/a_2018.tif --vectors roads.shp", ".gpkg or .geojson"),
        ("detector tiles/rgb/a_2018.tif --device abacus", "'abacus' is not to be had"),
        ("detector tiles/rgb/a_2018.tif --out photo.tif", "photo.tif cannot be written to"),
    ],
)
def test_wrong_prediction_is_one_sentence(rsaug: Command, arguments: str, message: str) -> None:
    write_cog("grey.tif", np.zeros((1, 32, 32), np.uint8), None)
    write_cog("photo.tif", np.zeros((3, 32, 32), np.uint8), None)
    result = rsaug("predict", *arguments.split())
    assert result.exit_code == 2, result.output
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("error: ")
    assert message in sentence


def test_an_image_without_a_place_is_predicted_all_the_same(rsaug: Command) -> None:
    write_cog("photo.tif", np.zeros((3, 40, 50), np.uint8), None)
    result = rsaug("predict", "detector", "photo.tif", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert Path("predicted/photo_probability.tif").is_file()
