"""Items, collections and models keep the rules of STAC and its extensions, read back by pystac."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyarrow.parquet as pq
import pystac
import pytest
import rasterio
from painter import Painter, write_roads, write_wood
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from stac_geoparquet.arrow import stac_table_to_items
from stacrules import problems

from rsaug.conditioning import make_conditions_plan, write_conditions
from rsaug.folder import RunFolder
from rsaug.options import ConditionsOptions, SynthOptions
from rsaug.stac import Description, write_catalogue
from rsaug.stac_labels import class_entry, road_counts
from rsaug.synthesis import make_plan, run

with warnings.catch_warnings():
    # pystac calls the extension unmaintained; see docs/catalogue.md on why it is used.
    warnings.simplefilter("ignore", DeprecationWarning)
    from pystac.extensions.label import LabelExtension

Document = dict[str, Any]


@pytest.fixture(scope="module")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 4 tiles with two images each."""
    folder = tmp_path_factory.mktemp("synth")
    roads = write_roads(folder / "streets.gpkg", rows=2, cols=2)
    asked = SynthOptions(
        str(roads), gsd=0.5, tile_size=128, variants=2, prompt="a town", out=str(folder / "out")
    )
    run(make_plan(asked), Painter())
    return folder / "out"


@pytest.fixture(scope="module")
def conditions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a model: masks, classes and channels."""
    folder = tmp_path_factory.mktemp("conditions")
    classes = folder / "own.toml"
    classes.write_text(
        'name = "own"\nroads = "main road"\n[[class]]\nname = "nothing"\nvalue = 0\n'
        'colour = "#000000"\n[[class]]\nname = "main road"\nvalue = 7\ncolour = "#FF8000"\n'
    )
    asked = ConditionsOptions(
        roads=str(write_roads(folder / "streets.gpkg", rows=1, cols=2)),
        gsd=0.5,
        tile_size=128,
        channels="distance,class",
        labels=str(classes),
        out=str(folder / "out"),
    )
    write_conditions(make_conditions_plan(asked))
    return folder / "out"


def read(path: Path) -> Document:
    content: Document = json.loads(path.read_text())
    return content


def documents(out: Path) -> list[Document]:
    """Everything of STAC in a run."""
    named = [out / "collection.json", out / "model.json", *sorted((out / "items").iterdir())]
    return [read(path) for path in named if path.exists()]


def item(out: Path) -> Document:
    return read(sorted((out / "items").iterdir())[0])


@pytest.mark.parametrize("kind", ["synth", "conditions"])
def test_documents_keep_the_rules(kind: str, request: pytest.FixtureRequest) -> None:
    validator = JsonSchemaSTACValidator()
    found = documents(request.getfixturevalue(kind))
    assert len(found) == {"synth": 2 + 8, "conditions": 1 + 2}[kind]
    for document in found:
        # The schemas of the core come with pystac; it raises what it finds.
        assert validator.validate_core(document, pystac.STACObjectType(document["type"]), "1.1.0")
        assert problems(document) == []


def extensions(document: Document) -> set[str]:
    return {uri.split("/")[3] for uri in document["stac_extensions"]}


def test_only_what_is_used_is_declared(synth: Path, conditions: Path, tmp_path: Path) -> None:
    common = {"projection", "file", "classification", "processing"}
    assert extensions(item(synth)) == common | {"label", "ml-aoi"}
    assert extensions(read(synth / "model.json")) == {"processing", "mlm"}
    assert extensions(read(synth / "collection.json")) == (common - {"file"} | {"label", "ml-aoi"})
    # What shows no image is not put into a part of a data set, and no model made it.
    assert extensions(item(conditions)) == common | {"label"}
    assert not (conditions / "model.json").exists()
    wood = write_wood(tmp_path / "wood.gpkg")
    asked = ConditionsOptions(
        landcover=str(wood), gsd=0.5, tile_size=128, limit=1, out=str(tmp_path / "out")
    )
    write_conditions(make_conditions_plan(asked))
    assert extensions(item(tmp_path / "out")) == {"projection", "file", "processing"}
    assert [problems(document) for document in documents(tmp_path / "out")] == [[], []]


Deed = Callable[[Document], Any]


@pytest.mark.parametrize(
    ("what", "deed", "problem"),
    [
        ("item", lambda d: d["stac_extensions"].pop(), "declares"),
        ("item", lambda d: d["properties"].update({"proj:shape": [64, 128]}), "proj:bbox"),
        ("item", lambda d: d["properties"].update({"proj:code": None}), "no code"),
        ("item", lambda d: d["assets"]["mask"].update({"file:checksum": "AB"}), "multihash"),
        ("item", lambda d: d["properties"].update({"ml-aoi:split": "validate"}), "not train"),
        ("item", lambda d: d["properties"].update({"label:properties": ["a"]}), "null"),
        ("item", lambda d: d["properties"].pop("label:description"), "required"),
        ("item", lambda d: d["properties"]["label:overviews"][0]["counts"].pop(), "other classes"),
        ("item", lambda d: d["assets"]["mask"].update({"roles": ["data"]}), "role labels"),
        ("item", lambda d: d["assets"]["mask"].pop("ml-aoi:role"), "asset with the role label"),
        ("item", lambda d: d["links"].pop(), "derived_from with the role label"),
        ("item", lambda d: d["links"][4]["label:assets"].append("dem"), "names no asset"),
        ("model", lambda d: d["properties"].pop("mlm:output"), "mlm:output is required"),
        ("model", lambda d: d["properties"].update({"mlm:name": "a/b"}), "no name of a model"),
        ("model", lambda d: d["properties"]["mlm:input"][0]["bands"].pop(), "as long as"),
        ("model", lambda d: d["assets"]["model"].pop("mlm:artifact_type"), "artifact_type"),
        ("model", lambda d: d["assets"]["model"].pop("bands"), "in no asset"),
        ("collection", lambda d: d["summaries"].pop("processing:software"), "no field"),
    ],
)
def test_the_rules_see_what_breaks_them(synth: Path, what: str, deed: Deed, problem: str) -> None:
    document = copy.deepcopy(item(synth) if what == "item" else read(synth / f"{what}.json"))
    deed(document)
    assert any(problem in said for said in problems(document))


def test_pystac_reads_the_labels(synth: Path, conditions: Path) -> None:
    for path in (synth / "items").iterdir():
        found = pystac.Item.from_file(str(path))
        label = LabelExtension.ext(found)
        assert (label.label_type, label.label_properties) == ("raster", None)
        assert (label.label_tasks, label.label_methods) == (["segmentation"], ["automated"])
        (overview,) = label.label_overviews or []
        counts = {count.name: count.count for count in overview.counts or []}
        with rasterio.open(found.assets["mask"].get_absolute_href()) as src:
            road = int(src.read(1).sum())
        assert counts == {"background": 128 * 128 - road, "road": road}
        (source,) = found.get_links("source")
        assert source.extra_fields["label:assets"] == ["image"]
        assert source.get_absolute_href() == str(path)
    label = LabelExtension.ext(pystac.Item.from_dict(item(conditions)))
    assert [each.classes for each in label.label_classes or []] == [
        ["background", "road"],
        ["nothing", "main road"],
    ]
    assert label.label_tasks == ["segmentation", "regression"]
    for overview in label.label_overviews or []:
        assert sum(count.count for count in overview.counts or []) == 128 * 128


def test_pystac_reads_place_files_and_classes(synth: Path, conditions: Path) -> None:
    found = pystac.Item.from_dict(item(synth))
    place = ProjectionExtension.ext(found)
    assert (place.code, place.shape) == ("EPSG:32635", [128, 128])
    assert (place.transform or [])[0] == 0.5
    size = FileExtension.ext(found.assets["image"]).size
    assert size == (synth / f"images/{found.id}.tif").stat().st_size
    found = pystac.Item.from_dict(item(conditions))
    classes = ClassificationExtension.ext(found.assets["labels"]).classes or []
    assert [(each.value, each.name, each.color_hint) for each in classes] == [
        (0, "nothing", "000000"),
        (7, "main-road", "FF8000"),
    ]
    # The name of a class is for machines; as it was written it is the title.
    assert [each.to_dict().get("title") for each in classes] == [None, "main road"]


def test_pystac_reads_the_model_that_images_lead_to(synth: Path) -> None:
    mlm = pytest.importorskip("pystac.extensions.mlm", reason="pystac is older than it")
    collection = pystac.Collection.from_file(str(synth / "collection.json"))
    first = next(collection.get_items())
    for owner in (collection, first):
        link = next(link for link in owner.links if "mlm:name" in link.extra_fields)
        assert link.rel == "derived_from"
        model = mlm.MLMExtension[pystac.Item].ext(led_to(link, collection))
        assert model.mlm_name == link.extra_fields["mlm:name"] == "painter"
    assert model.tasks == ["generative"]
    assert [each.name for each in model.input] == ["controls", "prompt"]
    stack = model.input[0].input
    assert (stack.shape, stack.data_type) == ([-1, 18, 128, 128], "float32")
    assert model.output[0].result.shape == [-1, 3, 128, 128]
    assert collection.summaries.lists["processing:software"] == [
        first.properties["processing:software"]
    ]


def led_to(link: pystac.Link, root: pystac.Catalog) -> pystac.Item:
    found = link.resolve_stac_object(root).target
    assert isinstance(found, pystac.Item)
    return found


def test_a_copy_by_pystac_has_all_that_was_there(synth: Path, tmp_path: Path) -> None:
    """Links of an item to itself end no walk and start no endless one."""
    collection = pystac.Collection.from_file(str(synth / "collection.json")).full_copy()
    collection.normalize_hrefs(str(tmp_path / "copy"))
    assert len(list(collection.get_items())) == 8
    for found in collection.get_items():
        assert len(found.get_links("derived_from")) == 3


def test_the_table_has_the_fields_and_its_paths_lead_from_the_folder(synth: Path) -> None:
    assert (gpd.read_parquet(synth / "manifest.parquet")["ml-aoi:split"] == "train").all()
    for row in stac_table_to_items(pq.read_table(synth / "manifest.parquet")):
        found = read(synth / f"items/{row['id']}.json")
        for name in ("label:classes", "label:overviews", "processing:lineage"):
            assert row["properties"][name] == found["properties"][name]
        for link, original in zip(row["links"], found["links"], strict=True):
            assert (synth / link["href"]).samefile(synth / "items" / original["href"])


def test_a_long_table_keeps_the_order_and_takes_items_from_before(
    synth: Path, tmp_path: Path
) -> None:
    """It is put together from parts, of which not all have the same fields."""
    first, folder = item(synth), RunFolder(tmp_path)
    names = [f"t{k}" for k in range(1100)]
    folder.item("t0").parent.mkdir()
    for k, name in enumerate(names):
        document = {**first, "id": name}
        if k >= 1000:  # As items were before they had labels.
            said = {n: v for n, v in first["properties"].items() if not n.startswith("label:")}
            document |= {"properties": said, "links": first["links"][:3]}
        folder.item(name).write_text(json.dumps(document))
    write_catalogue(folder, names, Description.of_images("x", "streets.gpkg", {}))
    rows = list(stac_table_to_items(pq.read_table(folder.manifest)))
    assert [row["id"] for row in rows] == names
    assert rows[999]["properties"]["label:overviews"] == first["properties"]["label:overviews"]
    assert not rows[1000]["properties"].get("label:overviews")


def test_pixels_are_counted_exactly() -> None:
    for road in (0, 1, 12345, 2**24 - 1, 2**24):
        assert road_counts(road / 2**24, 2**24) == {"background": 2**24 - road, "road": road}


@pytest.mark.parametrize(
    ("name", "plain"), [("road", "road"), ("Tie 5", "Tie-5"), ("tiet", "tiet"), ("道", "class-3")]
)
def test_names_of_classes_are_for_machines(name: str, plain: str) -> None:
    entry = class_entry(3, name, (1, 2, 255))
    assert (entry["name"], entry["color_hint"]) == (plain, "0102FF")
    assert entry.get("title", plain) == name
