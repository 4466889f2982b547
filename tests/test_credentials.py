"""Signed images: read as before, and found out when they are altered. Nothing asks the network."""

from __future__ import annotations

import dataclasses
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certificates import Papers, write_papers
from PIL import Image
from test_tiffroom import first_page, pyramid, said

from rsaug.credentials import ASSERTION, Signer, is_signed, read_credentials
from rsaug.errors import InputError
from rsaug.grid import TileGrid, parse_crs
from rsaug.provenance import EDITED_SOURCE_TYPE, Provenance, read_provenance
from rsaug.raster import encode_cog
from rsaug.tiffroom import with_room

c2pa = pytest.importorskip("c2pa", reason="c2pa-python is not installed")

NOTE = Provenance("k" * 64, "default", "a" * 64, seed=2**63 - 1, variant=2, prompt='a "wet" <town>')
TILE = TileGrid(parse_crs(32635), 0.5, 128).tile(-3, 5)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return write_papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def plain() -> bytes:
    image = np.random.default_rng(1).integers(0, 255, (3, 128, 128), np.uint8)
    return encode_cog(image, TILE, tags=NOTE.tags(), xmp=NOTE.xmp())


def manifest(path: Path) -> dict[str, Any]:
    """The manifest of a file as the library reads it by itself."""
    with c2pa.Reader(str(path)) as reader:
        document = json.loads(reader.json())
    found: dict[str, Any] = document["manifests"][document["active_manifest"]]
    return found


@pytest.mark.parametrize("kind", ["ed25519", "secp256r1", "secp384r1", "rsa"])
def test_a_signed_image_is_read_as_before_and_holds(
    plain: bytes, tmp_path: Path, kind: str
) -> None:
    papers = write_papers(tmp_path / "papers", kind)
    path = tmp_path / "a.tif"
    path.write_bytes(Signer.load(papers.chain, papers.key).sign(plain, NOTE, path.name))
    assert said(path.read_bytes()) == said(plain)
    assert first_page(path.read_bytes()) == first_page(plain)
    assert read_provenance(path) == NOTE
    found = read_credentials(path)
    assert found is not None
    assert (found.state, found.signer, found.problems) == ("valid", "Town Hall, Helsinki", ())
    assert found.said == NOTE.facts()
    trusted = read_credentials(path, papers.anchor)
    assert trusted is not None
    assert trusted.state == "trusted"


def test_the_manifest_says_what_made_the_image(
    plain: bytes, papers: Papers, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(Signer.load(papers.chain, papers.key).sign(plain, NOTE, path.name))
    found = manifest(path)
    assert found["claim_generator_info"][0]["name"] == "rsaug"
    assert found["title"] == "a.tif"
    by_label = {each["label"].removesuffix(".v2"): each["data"] for each in found["assertions"]}
    (action,) = by_label["c2pa.actions"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"] == NOTE.source_type
    assert action["softwareAgent"] == {"name": "default", "version": f"sha256:{'a' * 64}"}
    assert by_label[ASSERTION]["seed"] == NOTE.seed
    edited = dataclasses.replace(NOTE, source="real.tif")
    path.write_bytes(Signer.load(papers.chain, papers.key).sign(plain, edited, path.name))
    assert EDITED_SOURCE_TYPE in json.dumps(manifest(path))


def test_what_was_altered_is_found(plain: bytes, papers: Papers, tmp_path: Path) -> None:
    signed = Signer.load(papers.chain, papers.key).sign(plain, NOTE, "a.tif")
    path = tmp_path / "a.tif"
    # The header, the directory, a tag, a pixel, and the end of the signature.
    for place in (8, first_page(signed) + 30, 700, len(plain) - 40, len(signed) - 1):
        altered = bytearray(signed)
        altered[place] ^= 1
        path.write_bytes(altered)
        found = read_credentials(path, papers.anchor)
        assert found is not None
        assert found.state == "invalid", place
        assert found.problems


def test_signed_twice_only_the_manifests_differ(plain: bytes, papers: Papers) -> None:
    signer = Signer.load(papers.chain, papers.key)
    one, other = (signer.sign(plain, NOTE, "a.tif") for _ in range(2))
    assert len(one) == len(other)
    assert one != other
    size = len(one) - len(plain) - 12 - len(plain) % 2
    assert one[:-size] == other[:-size] == with_room(plain, size)[:-size]


@pytest.mark.parametrize("big", [False, True])
def test_a_large_image_is_signed_on_the_disk(papers: Papers, tmp_path: Path, big: bool) -> None:
    path = tmp_path / "a.tif"
    before = pyramid(path, big=big)
    Signer.load(papers.chain, papers.key).sign_file(path, NOTE, "mosaic.tif")
    assert said(path.read_bytes()) == said(before)
    found = read_credentials(path)
    assert found is not None
    assert found.state == "valid"
    assert manifest(path)["title"] == "mosaic.tif"
    assert {file.name for file in tmp_path.iterdir()} == {"a.tif", "rough.tif"}


def test_what_is_not_signed_says_nothing(plain: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(plain)
    assert read_credentials(path) is None
    assert not is_signed(path)
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    assert read_credentials(tmp_path / "a.png") is None
    (tmp_path / "a.txt").write_text("no image")
    assert read_credentials(tmp_path / "a.txt") is None
    with pytest.raises(InputError, match="cannot be read"):
        read_credentials(tmp_path / "none.tif")
    with pytest.raises(InputError, match="holds no certificate in PEM"):
        read_credentials(path, str(tmp_path / "a.txt"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"self_signed": True}, "is its own. C2PA asks for"),
        ({"for_mail": False}, "signing mail or documents"),
        ({"days": -1}, "in its time"),
        ({"kind": "secp256k1"}, "C2PA has no use for"),
        ({"password": b"open sesame"}, "without a password"),
    ],
)
def test_what_c2pa_does_not_allow_is_refused(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    papers = write_papers(tmp_path, **given)
    with pytest.raises(InputError, match=message) as raised:
        Signer.load(papers.chain, papers.key)
    secret = Path(papers.key).read_text().splitlines()[1]
    assert secret not in str(raised.value)


def test_files_that_do_not_go_together_are_refused(papers: Papers, tmp_path: Path) -> None:
    other = write_papers(tmp_path / "other")
    with pytest.raises(InputError, match="does not belong to the first certificate"):
        Signer.load(papers.chain, other.key)
    with pytest.raises(InputError, match="holds no private key"):
        Signer.load(papers.chain, papers.chain)
    with pytest.raises(InputError, match="holds no certificate"):
        Signer.load(papers.key, papers.key)
    with pytest.raises(InputError, match=r"none\.pem cannot be read"):
        Signer.load(papers.chain, str(tmp_path / "none.pem"))
    with pytest.raises(InputError, match="Nothing can be signed"):
        # Nobody listens there, and nothing is sent to anybody else.
        Signer.load(papers.chain, papers.key, "http://127.0.0.1:9/timestamp")


def test_the_key_is_kept_to_itself(papers: Papers) -> None:
    signer = Signer.load(papers.chain, papers.key)
    secret = Path(papers.key).read_text().splitlines()[1]
    assert secret not in repr(signer) + json.dumps(signer.describe())
    assert signer.describe()["subject"] == "CN=Town Hall,O=Helsinki"
    assert len(signer.describe()["certificate_sha256"]) == 64


class _Server(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012  # one list for all requests

    def do_GET(self) -> None:  # the library's name
        """Take note, and have nothing."""
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_manifest_that_lies_elsewhere_is_not_fetched(papers: Papers, tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        path = tmp_path / "a.tif"
        info = c2pa.C2paSignerInfo(
            "ed25519", Path(papers.chain).read_bytes(), Path(papers.key).read_bytes(), None
        )
        action = {"action": "c2pa.created", "digitalSourceType": NOTE.source_type}
        actions = {"label": "c2pa.actions", "data": {"actions": [action]}}
        builder = c2pa.Builder({"assertions": [actions]})
        builder.set_no_embed()
        builder.set_remote_url(f"http://127.0.0.1:{server.server_port}/manifest.c2pa")
        target = io.BytesIO()
        blank = io.BytesIO(encode_cog(np.zeros((3, 128, 128), np.uint8), TILE))
        builder.sign(c2pa.Signer.from_info(info), "image/tiff", blank, target)
        path.write_bytes(target.getvalue())
        with pytest.raises(c2pa.C2paError), c2pa.Reader(str(path)):
            pass
        assert _Server.asked == ["/manifest.c2pa"]  # the library does so unless it is told not to
        _Server.asked.clear()
        read_credentials(path)
        assert _Server.asked == []
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
