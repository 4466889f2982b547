"""The item of a generator: named by what is in its files, the same after a stop, verified."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from painter import Painter, contents, write_roads
from stacrules import problems

from rsaug.modelfiles import digest_of, model_files
from rsaug.options import SynthOptions
from rsaug.record import Record
from rsaug.stac_model import make_model, model_link, model_name, software
from rsaug.synthesis import make_plan, run
from rsaug.verification import verify


def write_files(folder: Path) -> Path:
    """A model's folder, as far as its files go."""
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet/config.json").write_text('{"layers": 3}')
    (folder / "unet/weights.safetensors").write_bytes(bytes(range(256)))
    (folder / "README.md").write_text("not a part of it")
    return folder


class Described(Painter):
    """A painter that knows its files.

    Attributes:
        folder: Where they lie.
    """

    def __init__(self, folder: Path, **more: Any) -> None:
        super().__init__(**more)
        self.folder = folder

    def describe(self) -> dict[str, object]:
        """What decides an image, and what it consists of."""
        files = model_files(self.folder)
        return {
            **super().describe(),
            "weights_sha256": digest_of({name: file.sha256 for name, file in files.items()}),
            "versions": {"torch": "2.11.0+cpu", "diffusers": "0.36.0", "rsaug": "0"},
            "network": {
                "architecture": "Painter",
                "parameters": 256,
                "artifact": "a folder",
                "definition": "model_index.json",
                "files": {name: dataclasses.asdict(file) for name, file in files.items()},
            },
        }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run of two tiles by a painter that knows its files."""
    write_files(tmp_path / "model")
    make(tmp_path)
    return tmp_path / "out"


def make(place: Path, painter: Painter | None = None) -> None:
    roads = place / "streets.gpkg"
    if not roads.exists():
        write_roads(roads, rows=1, cols=2)
    asked = SynthOptions(str(roads), gsd=0.5, tile_size=128, out=str(place / "out"))
    run(make_plan(asked), painter or Described(place / "model"))


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_its_files_are_named_by_their_contents(out: Path) -> None:
    model, folder = read(out / "model.json"), out.parent / "model"
    assert problems(model) == []
    paths = {asset["file:local_path"]: asset for asset in model["assets"].values()}
    assert paths.keys() == {"model_index.json", "unet/config.json", "unet/weights.safetensors"}
    for name, asset in paths.items():
        content = (folder / name).read_bytes()
        digest = hashlib.sha256(content)
        assert asset["file:size"] == len(content)
        assert asset["file:checksum"] == f"1220{digest.hexdigest()}"
        # RFC 6920: base64url of the digest, padding left out.
        said = asset["href"].removeprefix("ni:///sha-256;")
        assert base64.urlsafe_b64decode(said + "=") == digest.digest()
    assert model["assets"]["model"]["file:local_path"] == "model_index.json"
    assert paths["unet/weights.safetensors"]["roles"] == ["mlm:weights", "weights"]
    assert str(out.parent) not in json.dumps(model)


def test_it_says_what_the_generator_says(out: Path) -> None:
    said = read(out / "model.json")["properties"]
    assert (said["mlm:framework"], said["mlm:framework_version"]) == ("PyTorch", "2.11.0+cpu")
    assert (said["mlm:architecture"], said["mlm:total_parameters"]) == ("Painter", 256)
    assert said["mlm:hyperparameters"] == {"grey": 128}
    assert said["mlm:accelerator_summary"] == "The images were made on cpu."
    assert said["processing:software"]["diffusers"] == "0.36.0"
    item = read(next((out / "items").iterdir()))["properties"]
    assert item["processing:software"] == said["processing:software"]
    assert item["processing:software"]["rsaug"] != "0"
    assert item["rsaug:weights_sha256"] == said["rsaug:weights_sha256"]


def test_a_digest_is_that_of_names_and_contents(tmp_path: Path) -> None:
    files = {name: file.sha256 for name, file in model_files(write_files(tmp_path / "m")).items()}
    digest = hashlib.sha256()
    for name in ("model_index.json", "unet/config.json", "unet/weights.safetensors"):
        content = (tmp_path / "m" / name).read_bytes()
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    assert digest_of(files) == digest.hexdigest()
    assert digest_of(dict(reversed(files.items()))) == digest.hexdigest()
    (tmp_path / "m/unet").rename(tmp_path / "m/net")
    moved = {name: file.sha256 for name, file in model_files(tmp_path / "m").items()}
    assert digest_of(moved) != digest.hexdigest()


def test_a_run_that_was_stopped_has_the_same_catalogue(out: Path) -> None:
    before = contents(out)
    asked = iter([False, True])

    def stop() -> None:
        if next(asked):
            raise KeyboardInterrupt

    for path in [*(out / "items").iterdir(), *(out / "images").iterdir()]:
        path.unlink()
    for name in ("collection.json", "model.json", "manifest.parquet"):
        (out / name).unlink()
    with pytest.raises(KeyboardInterrupt):
        make(out.parent, Described(out.parent / "model", before_each=stop))
    # An item that is there already leads to a model that is there, too.
    assert len(list((out / "items").iterdir())) == 1
    assert (out / "model.json").exists()
    assert not (out / "collection.json").exists()
    make(out.parent)
    assert contents(out) == before


Deed = Callable[[Path], Any]


def change(path: Path, deed: Callable[[dict[str, Any]], Any]) -> None:
    content = read(path)
    deed(content)
    path.write_text(json.dumps(content))


def other_weights(out: Path) -> None:
    change(out / "model.json", lambda d: d["properties"].update({"rsaug:weights_sha256": "0" * 64}))


def other_file(out: Path) -> None:
    change(
        out / "model.json",
        lambda d: d["assets"]["unet/config.json"].update({"file:checksum": "1220" + "0" * 64}),
    )


def no_hexadecimal(out: Path) -> None:
    change(out / "model.json", lambda d: d["assets"]["model"].update({"file:checksum": "zz"}))


@pytest.mark.parametrize(
    ("deed", "problem"),
    [
        (lambda out: (out / "model.json").unlink(), "is missing"),
        (lambda out: (out / "model.json").write_text("[]"), "cannot be read"),
        (no_hexadecimal, "cannot be read"),
        (other_weights, "describes other weights than the record names"),
        (other_file, "names files that are not those of its weights"),
    ],
)
def test_what_was_done_to_it_is_found(out: Path, deed: Deed, problem: str) -> None:
    assert verify(out).findings == ()
    deed(out)
    (finding,) = verify(out).findings
    assert finding.item == "model.json"
    assert problem in finding.problem


def test_a_run_from_before_there_was_one_is_in_order(out: Path) -> None:
    (out / "model.json").unlink()
    change(
        out / "collection.json",
        lambda d: d.update(links=[link for link in d["links"] if link["rel"] != "derived_from"]),
    )
    assert verify(out).findings == ()


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("default", "default"),
        ("owner/crs-diff", "owner-crs-diff"),
        ("3rd try (new)", "model-3rd try -new"),
        ("x", "model-x"),
        ("道", "model"),
    ],
)
def test_names_are_those_that_mlm_allows(model: str, name: str) -> None:
    generator = {"model": model, "weights_sha256": "ab", "device": "cuda", "dtype": "bfloat16"}
    assert model_name(generator) == name
    record = Record(SynthOptions("r.gpkg", tile_size=256), {}, generator, "2026-01-01T00:00:00Z")
    found = make_model(record)
    assert problems(found) == []
    assert found["properties"]["rsaug:model"] == model
    assert found["properties"]["mlm:accelerator"] == "cuda"
    # Weights without a digest have no name; the record says what is known of them.
    assert found["assets"]["model"]["href"] == "./run.json"


def test_where_there_is_no_generator_nothing_leads_to_one() -> None:
    assert model_link({}, "./model.json") == []
    assert list(software({})) == ["rsaug"]
    odd = {"versions": {"torch": "2.11.0a0+git1"}}
    record = Record(SynthOptions("r.gpkg", tile_size=256), {}, odd, "2026-01-01T00:00:00Z")
    assert "mlm:framework_version" not in make_model(record)["properties"]
    assert problems(make_model(record)) == []
