"""Training packs: made of tile folders, the same as what they are made of, and not trusted."""

from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from tilefolder import SIZE, YEARS, make_tile_folder
from toy import TOY, toy_autoencoder
from typer.testing import CliRunner

from rsaug.cli import app
from rsaug.conditions.landcover import CLASSES
from rsaug.errors import InputError
from rsaug.pipelines.train.folder import read_chips
from rsaug.pipelines.train.generator import train_generator
from rsaug.pipelines.train.machine import Run
from rsaug.pipelines.train.pack import Pack, read_pack
from rsaug.pipelines.train.packfile import file_sha256, load_chips, load_pack, open_pack
from rsaug.pipelines.train.prepare import PackOptions, prepare_pack
from rsaug.pipelines.train.recipe import GeneratorRecipe

OPTIONS = PackOptions(size=SIZE)


def look(rgb: NDArray[np.uint8], gsd_m: float | None) -> NDArray[np.uint8]:
    """Water where it is bright, else bare ground."""
    return np.where(rgb[0] > 80, CLASSES.index("water"), CLASSES.index("barren")).astype(np.uint8)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small folder, with texts and what it says on licences."""
    folder = make_tile_folder(tmp_path_factory.mktemp("made") / "tiles")
    captions = pd.read_csv(folder / "captions.csv")
    captions["split"] = ["train", "train", "val", "val", "test"]
    captions["scene"] = "farm"
    captions["caption"] = [f"Fields | at {place}." for place in captions["place"]]
    captions.to_csv(folder / "captions.csv", index=False)
    (folder / "README.md").write_text("Tiles.\nLicensed under CC BY 4.0.\n")
    return folder


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images without georeference, with masks, of two splits; a quarter of one is blank."""
    folder = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for name in ("p", "q"):
        image = rng.integers(0, 200, (2 * SIZE, 2 * SIZE, 3), dtype=np.uint8)
        image[:SIZE, :SIZE] = 255
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        mask = np.zeros(image.shape[:2], dtype=np.uint8)
        mask[:, 10:20] = 255
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    table = pd.DataFrame({"id": ["p", "q"], "split": ["train", "val"]})
    table.to_csv(folder / "index.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def pack(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "pack"
    prepare_pack([tiles], out, OPTIONS, look=look)
    return out


@pytest.fixture
def copy(pack: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pack, tmp_path / "copy"))


def assert_same(one: Pack, other: Pack) -> None:
    assert one.captions == other.captions
    for name, values in vars(one).items():
        if name != "captions":
            expected = getattr(other, name)
            assert values.dtype == expected.dtype
            np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_pack_gives_back_what_it_was_made_of(pack: Path, tiles: Path, split: str) -> None:
    assert_same(load_pack(pack, split), read_pack(tiles, split, SIZE, look=look))


def test_masks_without_georeference_are_packed(scans: Path, tmp_path: Path) -> None:
    made = prepare_pack([scans], tmp_path / "pack", PackOptions(SIZE, gsd_m=1.0))
    expected = read_pack(scans, "train", SIZE, gsd_m=1.0)
    assert_same(load_pack(tmp_path / "pack", "train"), expected)
    assert len(expected) == 3
    assert sum(made.left_out.values()) == 2
    np.testing.assert_array_equal(
        load_chips(tmp_path / "pack", SIZE), read_chips(scans, "train", SIZE)
    )
    sheet = (tmp_path / "pack" / "DATASHEET.md").read_text()
    assert "2 of 2 images have no georeference" in sheet
    assert "has no LICENSE, README" in sheet


def test_several_folders_come_one_after_another(tiles: Path, scans: Path, tmp_path: Path) -> None:
    prepare_pack([scans, tiles], tmp_path / "pack", PackOptions(SIZE, gsd_m=1.0))
    both = read_pack(scans, "train", SIZE, gsd_m=1.0) + read_pack(tiles, "train", SIZE, gsd_m=1.0)
    assert_same(load_pack(tmp_path / "pack", "train"), both)


def test_the_same_bytes_wherever_it_is_made(pack: Path, tiles: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(tiles, tmp_path / "elsewhere" / "tiles")
    prepare_pack([moved], tmp_path / "again", OPTIONS, look=look)
    names = sorted(path.name for path in pack.iterdir())
    assert names == ["DATASHEET.md", "pack.json", "train.parquet", "val.parquet"]
    for name in names:
        assert (pack / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert str(tmp_path) not in (tmp_path / "again" / "pack.json").read_text()


def test_the_test_split_stays_out(pack: Path, tiles: Path) -> None:
    index = json.loads((pack / "pack.json").read_text())
    assert not any("e_" in name for name in index["inputs"]["tiles"])
    table = pq.read_table(pack / "train.parquet", columns=["place"])
    assert Counter(table["place"].to_pylist()) == {"a": len(YEARS), "b": len(YEARS)}
    for name in ("index.csv", "rgb/a_2018.tif"):
        assert index["inputs"]["tiles"][name] == file_sha256(tiles / name)


def test_overlaps_are_left_out_where_asked_for(tiles: Path, tmp_path: Path) -> None:
    """An image of the training place b is moved by a pixel, onto the val place c."""
    moved = Path(shutil.copytree(tiles, tmp_path / "tiles"))
    with rasterio.open(moved / "rgb" / "b_2020.tif", "r+") as src:
        src.transform = Affine.translation(0.6, 0) @ src.transform
    with pytest.raises(InputError, match="leave such images out with --leave-out-overlaps"):
        prepare_pack([moved], tmp_path / "pack", OPTIONS)
    options = replace(OPTIONS, leave_out_overlaps=True)
    made = prepare_pack([moved], tmp_path / "pack", options)
    assert made.left_out["images of 'train', in common with another split"] == 1
    names = pq.read_table(tmp_path / "pack" / "train.parquet")["name"].to_pylist()
    assert names == ["a_2018", "a_2020", "b_2018"]
    assert "rgb/b_2020.tif" not in made.index["inputs"]["tiles"]
    assert "--leave-out-overlaps" in (tmp_path / "pack" / "DATASHEET.md").read_text()


def test_the_datasheet_counts(pack: Path) -> None:
    sheet = (pack / "DATASHEET.md").read_text()
    for line in (
        "| examples | 4 | 4 |",
        "| places | 2 | 2 |",
        "| 2018 | 2 | 2 |",
        "2 images of the split 'test'",
        "`tiles/README.md` says on licences:",
        "> Licensed under CC BY 4.0.",
        "all 10 images were looked at",
        "train: 4 of 4 examples lack the metadata `month`.",
        "rsaug train prepare --data tiles --tile-size 64 --out pack",
    ):
        assert line in sheet
    # Two places with a road from north to south of 64 pixels of 0.6 m.
    assert "| residential | 0.1 | 0.1 |" in sheet


def test_a_smaller_pack_is_measured_on_what_it_keeps(
    tiles: Path, pack: Path, tmp_path: Path
) -> None:
    made = prepare_pack([tiles], tmp_path / "pack", PackOptions(SIZE, quality=80), look=look)
    small, whole = load_pack(tmp_path / "pack", "train"), load_pack(pack, "train")
    assert made.size_bytes < open_bytes(pack)
    mse = ((small.rgb.astype(float) - whole.rgb) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(10 * np.log10(255**2 / mse), made.psnr[: len(small)], rtol=1e-4)
    for rgb, seen in zip(small.rgb, small.seen, strict=True):
        np.testing.assert_array_equal(seen, look(rgb.transpose(2, 0, 1), None))
    np.testing.assert_array_equal(small.road, whole.road)
    np.testing.assert_array_equal(small.map_edges, whole.map_edges)
    assert "PSNR" in (tmp_path / "pack" / "DATASHEET.md").read_text()


def open_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.parquet"))


@pytest.mark.parametrize("suffix", ["", "/"])
def test_what_is_there_is_not_touched(tiles: Path, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "kept").write_text("")
    with pytest.raises(InputError, match="not an empty folder"):
        prepare_pack([tiles], Path(f"{tmp_path}/pack{suffix}"), OPTIONS)
    assert [path.name for path in tmp_path.rglob("*")] == ["pack", "kept"]


def test_what_fails_in_the_middle_leaves_nothing(tiles: Path, tmp_path: Path) -> None:
    def fail(rgb: NDArray[np.uint8], gsd_m: float | None) -> NDArray[np.uint8]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_pack([tiles], tmp_path / "pack", OPTIONS, look=fail)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PackOptions(SIZE, quality=0), "quality of images is 1 to 100"),
        (PackOptions(SIZE, gsd_m=-1), "above 0 m"),
        (PackOptions(32), "expected 32x32"),
    ],
)
def test_other_options_are_refused(
    tiles: Path, tmp_path: Path, options: PackOptions, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        prepare_pack([tiles], tmp_path / "pack", options)


def test_a_folder_is_not_taken_twice(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="given twice"):
        prepare_pack([tiles, tiles / "rgb" / ".."], tmp_path / "pack", OPTIONS)


def _edit(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index.update(schema=2), "version 2; this rsaug reads version 1"),
        (lambda index: index.update(format="x"), "not the index of a training pack"),
        (lambda index: index.update(size=10**6), "must be 1 to 4096 pixels"),
        (lambda index: index.update(size=True), "must be 1 to 4096 pixels"),
        (lambda index: index.update(size=32), "expected 32x32"),
        (lambda index: index.update(splits=[]), "must be train and, if any, val"),
        (lambda index: index["splits"].update(test={}), "must be train and, if any, val"),
        (lambda index: index["splits"].update(train=3), "how many examples"),
        (lambda index: index["splits"]["train"].update(examples=10**9), "more than can be read"),
        (lambda index: index["splits"]["train"].update(examples=3), r"has 4 examples, .* says 3"),
        (lambda index: index["splits"]["train"].update(arrays={}), "SHA-256 for each"),
        (lambda index: index["splits"]["train"].update(sha256="0"), "its SHA-256 differs"),
        (
            lambda index: index["splits"]["train"]["arrays"].update(rgb="0"),
            "rgb in .* is not what pack.json says",
        ),
    ],
)
def test_an_index_that_does_not_fit_is_refused(
    copy: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    _edit(copy / "pack.json", change)
    with pytest.raises(InputError, match=message):
        load_pack(copy, "train")


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b"\xff", b"[" * 100_000])
def test_an_index_that_is_none_is_refused(copy: Path, content: bytes) -> None:
    (copy / "pack.json").write_bytes(content)
    with pytest.raises(InputError, match=r"pack\.json"):
        open_pack(copy)
    (copy / "pack.json").unlink()
    with pytest.raises(InputError, match="rsaug train prepare"):
        open_pack(copy)


def test_a_file_that_is_lost_cut_or_changed_is_refused(copy: Path) -> None:
    path = copy / "train.parquet"
    content = path.read_bytes()
    for damaged in (content[:-1], content[: len(content) // 2], b"", content[:99] + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="SHA-256 differs"):
            load_pack(copy, "train")
        _claim(copy)
        with pytest.raises(InputError, match="cannot be read as Parquet"):
            load_pack(copy, "train")
        with pytest.raises(InputError, match="cannot be read as Parquet"):
            load_chips(copy, SIZE)
        _edit(copy / "pack.json", lambda i: i["splits"]["train"].update(sha256="?"))  # type: ignore[index]
    path.unlink()
    with pytest.raises(InputError, match="lacks train"):
        load_pack(copy, "train")
    with pytest.raises(InputError, match="no split 'test'"):
        load_pack(copy, "test")


def _claim(folder: Path) -> None:
    """Have the index say that the file is as it is."""
    digest = file_sha256(folder / "train.parquet")
    _edit(folder / "pack.json", lambda i: i["splits"]["train"].update(sha256=digest))  # type: ignore[index]


def _rewrite(folder: Path, change: Callable[[pa.Table], pa.Table], **options: object) -> None:
    table = change(pq.read_table(folder / "train.parquet"))
    plain = {"compression": "none", "use_dictionary": False, "store_schema": False}
    pq.write_table(table, folder / "train.parquet", **{**plain, **options})
    _claim(folder)


def _picture(kind: str, side: int, mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (side, side)).save(stream, kind)
    return stream.getvalue()


def _swap(table: pa.Table, name: str, value: bytes) -> pa.Table:
    values = [value, *table[name].to_pylist()[1:]]
    nth, field = table.schema.get_field_index(name), table.schema.field(name)
    return table.set_column(nth, field, pa.array(values, field.type))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rgb", b"", "cannot be read"),
        ("rgb", _picture("PNG", SIZE), "cannot be read"),
        ("rgb", _picture("WEBP", 8000), "expected 64x64"),
        ("rgb", _picture("WEBP", SIZE)[:40], "cannot be read"),
        ("road", _picture("PNG", SIZE, "L"), "in mode L; expected"),
        ("seen", _picture("PNG", SIZE, "1"), "in mode 1; expected"),
        ("areas", _picture("PNG", SIZE, "L")[:60], "cannot be read"),
        ("photo_soft", _picture("GIF", SIZE), "cannot be read"),
        ("photo_soft", _picture("PNG", SIZE, "L"), "photo_edges in .* is not what"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(
    copy: Path, name: str, value: bytes, message: str
) -> None:
    _rewrite(copy, lambda table: _swap(table, name, value))
    with pytest.raises(InputError, match=message):
        load_pack(copy, "train")


def test_classes_that_are_none_are_refused(copy: Path) -> None:
    stream = io.BytesIO()
    Image.new("L", (SIZE, SIZE), len(CLASSES)).save(stream, "PNG")
    _rewrite(copy, lambda table: _swap(table, "seen", stream.getvalue()))
    with pytest.raises(InputError, match="a class above"):
        load_pack(copy, "train")


def test_files_that_could_be_large_in_memory_are_refused(copy: Path) -> None:
    for options in ({"compression": "zstd"}, {"use_dictionary": True}):
        _rewrite(copy, lambda table: table, **options)
        with pytest.raises(InputError, match="a training pack is not"):
            load_pack(copy, "train")
    _rewrite(copy, lambda table: table.drop_columns("seen"))
    with pytest.raises(InputError, match="other columns"):
        load_pack(copy, "train")


def test_a_model_of_a_pack_is_that_of_its_tiles(pack: Path, tiles: Path, tmp_path: Path) -> None:
    """Losses and weights, to the bit."""
    recipe = GeneratorRecipe(steps=3, batch=2, warmup=1, preset=TOY, sampling_steps=2)
    lines: dict[str, list[str]] = {"pack": [], "data": []}
    sources = {"pack": load_pack(pack, "train"), "data": read_pack(tiles, "train", SIZE, look=look)}
    for name, examples in sources.items():
        train_generator(
            examples,
            np.ones(len(examples)),
            toy_autoencoder(),
            tmp_path / name,
            recipe,
            lines[name].append,
            run=Run(device="cpu", log_every=1),
        )
    losses = [[line.rpartition(",")[0] for line in lines[name]] for name in sources]
    assert losses[0] == losses[1]
    for path in sorted((tmp_path / "data").rglob("*.safetensors")):
        other = tmp_path / "pack" / path.relative_to(tmp_path / "data")
        assert path.read_bytes() == other.read_bytes()


def test_the_commands(tmp_path: Path) -> None:
    """An autoencoder of a pack is that of its tiles, and sources that do not go together."""
    folder = tmp_path / "tiles"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        image = rng.integers(0, 200, (256, 256, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        Image.fromarray(image[..., 0] // 100).save(folder / "masks" / f"{name}.png")
    (folder / "index.csv").write_text("id,split\na,train\nb,val\n")
    pack = tmp_path / "pack"

    def rsaug(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["train", *words])
        return result.exit_code, " ".join((result.output + str(result.exception)).split())

    code, output = rsaug("prepare", "--data", str(folder), "--gsd", "1", "--out", str(pack))
    assert code == 0, output
    assert "1 train, 1 val examples" in output
    short = ("--steps", "1", "--batch", "1", "--device", "cpu", "--precision", "no")
    for option, source in (("--data", folder), ("--pack", pack)):
        out = tmp_path / f"vae{option}"
        code, output = rsaug("autoencoder", option, str(source), "--out", str(out), *short)
        assert code == 0, output
    weights = [
        (tmp_path / f"vae{option}" / "diffusion_pytorch_model.safetensors").read_bytes()
        for option in ("--data", "--pack")
    ]
    assert weights[0] == weights[1]
    for words, message in (
        ((), "Give tiles to train on"),
        (("--data", str(folder), "--pack", str(pack)), "exclude each other"),
        (("--pack", str(pack), "--gsd", "1"), "are those of the pack"),
        (("--pack", str(folder)), "is no training pack"),
    ):
        code, output = rsaug("generator", *words, *short)
        assert code != 0
        assert message in output
