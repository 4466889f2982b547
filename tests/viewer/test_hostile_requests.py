"""Requests that no page of ours sends: a small part of what `hostilerequests` asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hostilerequests import Answer, Place, ask_all
from PIL import Image

from rsaug.viewer.server import make_app
from rsaug.viewer.view import View

SAID = {"x-rsaug-token": "token", "content-type": "application/json"}


def test_no_request_breaks_it_or_is_told_a_secret(tmp_path: Path) -> None:
    found = ask_all(Place.at(tmp_path), 500, 0)
    assert found.wrong == []
    kinds = {kind for kind, _ in found.statuses}
    assert kinds == {"path", "tile", "roads", "review", "method", "wire"}
    # Not all is refused: some of it has to get as far as the run.
    assert {200, 400, 403, 404, 405, 421, 422} <= {status for _, status in found.statuses}
    if found.mib is not None:
        began, ended = found.mib
        assert ended - began < 256


def test_a_secret_would_be_seen(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path, "canary-7")
    Image.new("RGB", (4, 4), (255, 0, 255)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4), (255, 0, 254)).save(tmp_path / "b.png")
    kind = b"content-type: image/png"
    assert place.told(Answer(200, b"", b"x canary-7 x"))
    assert place.told(Answer(404, b"x: canary-7", b""))
    assert place.told(Answer(200, kind, (tmp_path / "a.png").read_bytes()))
    assert not place.told(Answer(200, kind, (tmp_path / "b.png").read_bytes()))


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"x-rsaug-token": b"\xff\xfe"}, b"{}", 403),
        ({"content-length": "9" * 5000}, b"{}", 413),
        ({"transfer-encoding": "chunked", "content-length": "2"}, b"{}", 411),
        ({}, b'{"verdicts": NaN}', 422),
        ({}, b'{"verdicts": {"a": Infinity}}', 422),
        ({}, b'{"verdicts": "\\ud800"}', 422),
        ({}, b'{"verdicts": {"\\ud800": "accepted"}}', 400),
        ({}, b'{"verdicts":{' + b'"a":' * 200_000, 422),
        ({}, b"[" * 1_000_000, 422),
        ({}, b'{"verdicts": ' + b"9" * 5000 + b"}", 422),
        ({}, b"\xff", 422),
        ({}, b"", 422),
    ],
)
def test_a_body_that_is_no_decision_is_refused_in_few_words(
    view: View, headers: dict[str, str], body: bytes, status: int
) -> None:
    web = TestClient(make_app(view, "127.0.0.1", "token"), base_url="http://127.0.0.1:8600")
    answer = web.post("/api/review", content=body, headers={**SAID, **headers})
    assert answer.status_code == status
    assert len(answer.content) < 300
    assert not (view.catalogue.folder.root / "review").exists()


def test_a_long_name_is_not_sent_back(view: View) -> None:
    web = TestClient(make_app(view, "127.0.0.1", "token"), base_url="http://127.0.0.1:8600")
    body = {"verdicts": {"a" * 500_000: "accepted"}}
    answer = web.post("/api/review", json=body, headers=SAID)
    assert (answer.status_code, len(answer.content) < 300) == (400, True)
    assert len(web.get(f"/tiles/s/mask/1/{'9' * 5000}/0").content) < 300
