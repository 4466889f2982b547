"""The server: what it answers, whom, and what it does not."""

from __future__ import annotations

import io
import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
from fastapi.testclient import TestClient
from PIL import Image
from rasterio.transform import Affine

from rsaug.verification import verify
from rsaug.viewer.guard import host_name
from rsaug.viewer.server import make_app, static_files
from rsaug.viewer.view import View
from rsaug.viewer.webtiles import WebTile

# rasterio and rio-tiler multiply transforms in a way that affine 3 deprecates; and rasterio
# silences the other warning where it warps arrays, but for one thread at a time.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform"),
]

TOKEN = "a token"
SAID = {"x-rsaug-token": TOKEN, "content-type": "application/json"}


def client(view: View, host: str = "127.0.0.1") -> TestClient:
    return TestClient(make_app(view, host, TOKEN), base_url="http://127.0.0.1:8600")


def tile_of(view: View, zoom: int, name: str | None = None) -> WebTile:
    """The tile of the web at the middle of an image."""
    image = view.catalogue.images[name or next(iter(view.catalogue.images))]
    lon, lat = np.mean(image.outline[:4], axis=0)
    x = (lon + 180) / 360 * 2**zoom
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**zoom
    return WebTile(zoom, int(x), int(y))


def path_of(layer: str, tile: WebTile) -> str:
    return f"/tiles/s/{layer}/{tile.z}/{tile.x}/{tile.y}"


def picture(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


def test_the_page_and_its_parts_are_there(view: View) -> None:
    web = client(view)
    page = web.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert f'name="token" content="{TOKEN}"' in page.text
    assert "{{" not in page.text
    for name, (kind, content) in static_files().items():
        answer = web.get(f"/static/{name}")
        if name != "index.html":
            assert (answer.status_code, answer.content) == (200, content)
            assert answer.headers["content-type"] == kind
    assert web.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_the_page_names_no_other_place() -> None:
    for name, (kind, content) in static_files().items():
        if name.startswith(("maplibre-gl", "LICENSE")) or "svg" in kind:
            continue
        text = content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, name
        assert "https://" not in text, name


def test_every_answer_says_what_a_page_may_do(view: View) -> None:
    web = client(view)
    layer = next(iter(view.layers))
    for path in ("/", "/api/run", "/static/nothing", path_of(layer, WebTile(0, 0, 0)), "/nowhere"):
        headers = web.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in headers if name.startswith("access-control")]
    assert "unsafe" not in headers["content-security-policy"]


def test_the_run_is_told(view: View) -> None:
    told = client(view).get("/api/run").json()
    assert told["images"]["name"] == [*view.catalogue.images]
    assert told["variants"] == [0, 1]
    assert {layer["id"] for layer in told["layers"]} == {
        *("image-0", "image-1", "mask", "label", "control-road", "control-seg", "control-hed")
    }
    west, south, east, north = told["bounds"]
    assert 24 < west < east < 26
    assert 60 < south < north < 61
    assert told["model"] == "painter"
    assert told["can_write"]
    assert told["verdicts"] == {}


def test_an_image_is_told_with_what_its_file_says(view: View) -> None:
    name, image = next(iter(view.catalogue.images.items()))
    told = client(view).get(f"/api/images/{name}").json()
    assert told["properties"]["rsaug:seed"] == told["inside"]["seed"]
    assert told["inside"]["key"] == image.properties["rsaug:key"]
    # A seed of 64 bits is no number of JavaScript.
    assert str(image.properties["rsaug:seed"]) == str(told["inside"]["seed"])


def test_a_layer_is_a_picture(view: View) -> None:
    images = view.catalogue.images.values()
    busy = max((i for i in images if not i.variant), key=lambda image: image.road_share or 0)
    web, tile = client(view), tile_of(view, 18, busy.name)
    image = web.get(path_of("image-0", tile))
    assert image.headers["content-type"] == "image/png"
    shown = picture(image.content)
    assert shown.shape == (256, 256, 4)
    mask = picture(web.get(path_of("mask", tile)).content)
    road = (mask[..., 3] == 255) & (shown[..., 3] == 255)
    assert road.any()
    # The painter paints roads grey, and nothing else so light.
    assert (shown[road][:, :3] == 128).mean() > 0.95
    assert shown[(mask[..., 3] == 0) & (shown[..., 3] == 255)][:, 0].max() < 60
    plain = picture(web.get(path_of("label", tile)).content)
    assert (plain[road][:, 0] == 38).all()
    control = picture(web.get(path_of("control-road", tile)).content)
    assert (control[road][:, :3] == 255).mean() > 0.95


@pytest.mark.parametrize(
    "path",
    [
        "/static/..%2f..%2fview.py",
        "/static/%2e%2e/view.py",
        "/static/../view.py",
        "/static/vendor/maplibre-gl/LICENSE.txt",
        "/api/images/..%2frun.json",
        "/api/images/..%5crun",
        "/tiles/s/..%2fimages/1/0/0",
        "/tiles/s/real/1/0/0",
        "/tiles/s//etc/1/0/0",
        "/run.json",
        "/images/x.tif",
        "//etc/passwd",
        "/api/real",
        "/docs",
        "/openapi.json",
    ],
)
def test_no_address_becomes_a_path(view: View, path: str) -> None:
    answer = client(view).get(path)
    assert answer.status_code == 404
    assert "software" not in answer.text


@pytest.mark.parametrize(
    ("z", "x", "y"),
    [
        ("0", "1", "0"),
        ("24", "16777216", "0"),
        ("25", "0", "0"),
        ("-1", "0", "0"),
        ("18", "-5", "3"),
        ("9" * 40, "9" * 40, "9" * 40),
        ("20", "9" * 300, "1"),
    ],
)
def test_a_tile_that_does_not_exist_is_empty(view: View, z: str, x: str, y: str) -> None:
    answer = client(view).get(f"/tiles/s/image-0/{z}/{x}/{y}")
    assert answer.status_code == 200
    assert not picture(answer.content)[..., 3].any()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tiles/s/image-0/1/a/0", 422),
        ("/tiles/s/image-0/1/1e3/0", 422),
        ("/tiles/s/image-0/1/0.5/0", 422),
        ("/api/roads?west=nan&south=0&east=1&north=1", 400),
        ("/api/roads?west=-1e308&south=0&east=1e308&north=1", 400),
        ("/api/roads?west=a&south=0&east=1&north=1", 422),
        ("/api/roads", 422),
    ],
)
def test_what_is_no_number_is_refused(view: View, path: str, status: int) -> None:
    assert client(view).get(path).status_code == status


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("127.0.0.1:8600", "127.0.0.1"),
        ("[::1]:80", "::1"),
        ("LOCALHOST", "localhost"),
        ("localhost.:1", "localhost"),
        ("", None),
        ("a:b", None),
        ("a:123456", None),
        ("[::1", None),
        ("a:1:2", None),
    ],
)
def test_a_host_header_is_read(header: str, name: str | None) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("host", "header", "good"),
    [
        ("127.0.0.1", "localhost:9", True),
        ("127.0.0.1", "[::1]:9", True),
        ("127.0.0.1", "evil.example", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "192.168.1.4:8600", False),
        ("127.0.0.1", "", False),
        ("0.0.0.0", "192.168.1.4:8600", True),
        ("0.0.0.0", "evil.example", False),
        ("map.example", "map.example:80", True),
    ],
)
def test_it_answers_under_its_own_name_alone(
    view: View, host: str, header: str, good: bool
) -> None:
    answer = client(view, host).get("/api/run", headers={"host": header})
    assert answer.status_code == (200 if good else 421)
    assert good == ("images" in answer.text)


def test_no_other_page_may_ask(view: View) -> None:
    web = client(view)
    cross = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert web.get("/api/run", headers=cross).status_code == 403
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert web.get("/", headers=followed).status_code == 200
    assert web.get("/", headers={"origin": "http://evil.example"}).status_code == 200
    assert web.options("/api/review").status_code == 405
    assert web.head("/").status_code == 405


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 403),
        ({**SAID, "x-rsaug-token": "another"}, 403),
        ({**SAID, "origin": "http://evil.example"}, 403),
        ({**SAID, "origin": "null"}, 403),
        ({**SAID, "host": "evil.example"}, 421),
        ({**SAID, "sec-fetch-site": "same-site"}, 403),
        ({**SAID, "content-type": "text/plain"}, 415),
        (SAID, 200),
        ({**SAID, "origin": "http://127.0.0.1:8600"}, 200),
    ],
)
def test_only_the_page_may_decide(
    view: View, folder: Path, headers: dict[str, str], status: int
) -> None:
    name = next(iter(view.catalogue.images))
    body = json.dumps({"verdicts": {name: "accepted"}})
    answer = client(view).post("/api/review", content=body, headers=headers)
    assert answer.status_code == status
    assert (folder / "review").exists() == (status == 200)
    assert verify(folder).findings == ()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"verdicts": {"../../etc/passwd": "accepted"}}, 400),
        ({"verdicts": {"": None}}, 400),
        ({"verdicts": ["x"]}, 422),
        ({"else": 1}, 422),
    ],
)
def test_what_is_no_decision_is_refused(
    view: View, folder: Path, body: object, status: int
) -> None:
    answer = client(view).post("/api/review", content=json.dumps(body), headers=SAID)
    assert answer.status_code == status
    assert not (folder / "review").exists()


def test_a_decision_without_an_end_is_refused(view: View) -> None:
    web = client(view)
    assert web.post("/api/review", content=iter([b"{}"]), headers=SAID).status_code == 411
    long = {**SAID, "content-length": str(2 << 20)}
    assert web.post("/api/review", content=b"{}", headers=long).status_code == 413


def test_a_link_in_the_folder_leads_nowhere(folder: Path, tmp_path: Path) -> None:
    whole = View(folder)
    first, *others = whole.catalogue.tiles
    (shown,) = [n for n, i in whole.catalogue.images.items() if i.tile == first and not i.variant]
    outside = (folder / "images" / f"{shown}.tif").rename(tmp_path / "outside.tif")
    (folder / "images" / f"{shown}.tif").symlink_to(outside)
    (folder / "masks" / f"{first}.tif").unlink()
    (folder / "masks" / f"{first}.tif").symlink_to(folder / "masks" / f"{others[0]}.tif")
    item = folder / "items" / f"{others[0]}.json"
    item.rename(tmp_path / "item.json")
    item.symlink_to(tmp_path / "item.json")
    view = View(folder)
    assert view.catalogue.unreadable == (others[0],)
    assert [*view.catalogue.images[shown].files] == ["conditions"]
    web, tile = client(view), tile_of(whole, 20, shown)
    for layer in ("image-0", "mask"):
        assert web.get(path_of(layer, tile)).content == web.get("/tiles/s/mask/0/0/0").content
    # The whole folder may be reached by a link, for that was asked for.
    (tmp_path / "here").symlink_to(folder)
    assert len(View(tmp_path / "here").catalogue.images) == len(view.catalogue.images)


@pytest.mark.parametrize("href", ["../../outside.tif", "/etc/hostname", "https://x.example/a.tif"])
def test_an_item_that_leads_outside_is_not_followed(
    folder: Path, tmp_path: Path, href: str
) -> None:
    name = next(iter(View(folder).catalogue.images))
    path = folder / "items" / f"{name}.json"
    (folder / "images" / f"{name}.tif").rename(tmp_path / "outside.tif")
    item = json.loads(path.read_text())
    item["assets"]["image"]["href"] = href
    path.write_text(json.dumps(item))
    assert "image" not in View(folder).catalogue.images[name].files


def write_real(path: Path, view: View, dtype: str = "uint8", bands: int = 3) -> None:
    """A raster without overviews, half red and half blue, around the run."""
    image = next(iter(view.catalogue.images.values()))
    left, top = image.properties["proj:transform"][2] - 300, image.properties["proj:transform"][5]
    values = np.zeros((bands, 900, 1200), dtype=dtype)
    values[0, :, :600] = 250
    values[-1, :, 600:] = 250
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=1200,
        height=900,
        count=bands,
        dtype=dtype,
        crs=image.grid.crs,
        transform=Affine(0.6, 0, left, 0, -0.6, top + 300),
    ) as dst:
        dst.write(values)


def test_real_imagery_is_shown_beside_it(view: View, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    write_real(real / "a.tif", view)
    write_real(real / "mask.tif", view, bands=1)
    (real / "words.tif").write_text("no raster")
    (real / "link.tif").symlink_to(real / "a.tif")
    seen = View(view.catalogue.folder.root, real)
    seen.start()
    web = client(seen)
    told = web.get("/api/real").json()
    assert (told["group"], told["left_out"]) == ("real", 2)
    for zoom in (16, 13, 19):
        shown = picture(web.get(path_of("real", tile_of(view, zoom))).content)
        there = shown[shown[..., 3] == 255]
        assert there.size
        # Apart from the border between them.
        pure = (there[:, :3] == (250, 0, 0)).all(axis=1) | (there[:, :3] == (0, 0, 250)).all(axis=1)
        assert pure.mean() > 0.9


def test_real_imagery_of_sixteen_bits_is_stretched(view: View, tmp_path: Path) -> None:
    write_real(tmp_path / "deep.tif", view, "uint16")
    seen = View(view.catalogue.folder.root, tmp_path / "deep.tif")
    seen.start()
    shown = picture(client(seen).get(path_of("real", tile_of(view, 18))).content)
    assert shown[..., :3].max() == 255


def test_real_imagery_that_is_none_is_told(view: View, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    seen = View(view.catalogue.folder.root, tmp_path / "nothing")
    seen.start()
    answer = client(seen).get("/api/real")
    assert answer.status_code == 422
    assert "no imagery with a place" in answer.json()["detail"]


def test_nothing_is_read_ahead_while_a_page_is_opened(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsaug.viewer.view._OPENING_S", 1e6)
    web = client(view)
    assert web.get("/").status_code == 200
    reading = threading.Thread(target=view.read_ahead, daemon=True)
    reading.start()
    reading.join(0.5)
    assert reading.is_alive()
    assert web.get("/api/shares").json()["tiles"] == {}
    # As soon as a tile of the map is asked for, it goes on.
    web.get("/tiles/s/mask/0/0/0")
    reading.join(60)
    assert not reading.is_alive()
    assert {*web.get("/api/shares").json()["tiles"]} == {*view.catalogue.tiles}


def test_shares_of_land_cover_are_counted(view: View) -> None:
    view.start()
    web = client(view)
    told = web.get("/api/shares").json()
    while len(told["tiles"]) < told["of"]:
        told = web.get("/api/shares").json()
    assert {*told["tiles"]} == {*view.catalogue.tiles}
    for tile, held in told["tiles"].items():
        assert sum(held.values()) == pytest.approx(1, abs=1e-3)
        assert held["road"] == pytest.approx(view.catalogue.tiles[tile].road_share, abs=1e-3)
    assert any("forest" in held for held in told["tiles"].values())


def test_roads_are_outlines_of_the_masks(view: View) -> None:
    west, south, east, north = view.catalogue.bounds
    box = {"west": west, "south": south, "east": east, "north": north}
    told = client(view).get("/api/roads", params=box).json()
    assert told["complete"]
    assert told["features"]
    for feature in told["features"]:
        for line in feature["geometry"]["coordinates"]:
            lon, lat = np.array(line).T
            assert west - 1e-6 <= lon.min() <= lon.max() <= east + 1e-6
            assert south - 1e-6 <= lat.min() <= lat.max() <= north + 1e-6


def test_roads_of_the_run_are_shown_where_they_lie_in_it(folder: Path) -> None:
    roads = {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"highway": "residential"},
                "geometry": {"type": "LineString", "coordinates": [[24.9, 60.1], [24.95, 60.2]]},
            }
        ],
    }
    (folder / "roads.geojson").write_text(json.dumps(roads))
    web = client(View(folder))
    assert web.get("/api/run").json()["roads"] == "lines"
    box = {"west": 24, "south": 60, "east": 25, "north": 61}
    (found,) = web.get("/api/roads", params=box).json()["features"]
    assert found["properties"]["highway"] == "residential"
    assert found["geometry"]["type"].endswith("LineString")
    (folder / "roads.geojson").write_text("{}")
    assert client(View(folder)).get("/api/roads", params=box).status_code == 422
