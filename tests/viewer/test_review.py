"""Decisions: on the disk, in the manifest, in the scores for training."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import geopandas as gpd
import pyarrow.parquet as pq
import pytest

from rsaug.downstream.datasets import SyntheticRoads
from rsaug.downstream.mixing import weights_of
from rsaug.errors import InputError, OutputError
from rsaug.storage import alone
from rsaug.verification import verify
from rsaug.viewer.review import ACCEPTED, COLUMN, REJECTED, BusyError, Review
from rsaug.viewer.view import View


def column(folder: Path) -> dict[str, str | None]:
    table = pq.read_table(folder / "manifest.parquet", columns=["id", COLUMN]).to_pydict()
    return dict(zip(table["id"], table[COLUMN], strict=True))


def test_a_decision_is_in_the_manifest_and_the_run_is_whole(view: View, folder: Path) -> None:
    before = pq.read_schema(folder / "manifest.parquet")
    first, second, *others = view.catalogue.images
    view.review.decide({first: ACCEPTED, second: REJECTED})
    assert column(folder) == {first: ACCEPTED, second: REJECTED, **dict.fromkeys(others)}
    after = pq.read_schema(folder / "manifest.parquet")
    assert after.metadata == before.metadata
    assert after.names == [*before.names, COLUMN]
    assert gpd.read_parquet(folder / "manifest.parquet").crs == 4326
    assert verify(folder).findings == ()
    view.review.decide({first: None})
    assert column(folder)[first] is None
    assert View(folder).review.verdicts() == {second: REJECTED}


def test_training_takes_the_scores(view: View, folder: Path) -> None:
    first, second, *others = view.catalogue.images
    view.review.decide({first: ACCEPTED, second: REJECTED})
    scores = json.loads((folder / "review" / "scores.json").read_text())
    assert scores == {first: 1, second: 0, **dict.fromkeys(others, 1)}
    names = SyntheticRoads(folder).chips().names
    weights = weights_of(names, scores)
    assert sorted(weights.tolist()) == [0.0, *[1.0] * (len(names) - 1)]


def test_what_the_filter_dropped_counts_unless_it_is_accepted(folder: Path) -> None:
    names = [*View(folder).catalogue.images]
    (folder / "quality").mkdir()
    weights = {name: float(k > 1) for k, name in enumerate(names)}
    (folder / "quality" / "scores.json").write_text(json.dumps(weights))
    view = View(folder)
    view.review.decide({names[0]: ACCEPTED, names[2]: REJECTED})
    scores = json.loads((folder / "review" / "scores.json").read_text())
    assert scores == {name: int(k not in (1, 2)) for k, name in enumerate(names)}


def test_a_manifest_written_anew_has_all_decisions_after_the_next(folder: Path) -> None:
    fresh = folder / "manifest.fresh"
    shutil.copy(folder / "manifest.parquet", fresh)
    review = View(folder).review
    first, second, *_ = View(folder).catalogue.images
    review.decide({first: REJECTED})
    fresh.replace(folder / "manifest.parquet")
    review.decide({second: ACCEPTED})
    assert {name: said for name, said in column(folder).items() if said} == {
        first: REJECTED,
        second: ACCEPTED,
    }


def test_two_who_decide_lose_nothing(folder: Path) -> None:
    one, other = View(folder).review, View(folder).review
    first, second, *_ = View(folder).catalogue.images
    one.decide({first: REJECTED})
    assert other.decide({second: ACCEPTED}) == {first: REJECTED, second: ACCEPTED}


def test_nothing_is_written_while_a_run_is_at_work(view: View, folder: Path) -> None:
    name = next(iter(view.catalogue.images))
    with alone(folder), pytest.raises(BusyError, match="at work"):
        view.review.decide({name: ACCEPTED})
    assert not (folder / "review").exists()


@pytest.mark.parametrize(
    ("name", "verdict"), [("../run", ACCEPTED), ("nobody", None), (None, "perhaps")]
)
def test_what_is_no_image_or_no_verdict_is_refused(
    view: View, folder: Path, name: str | None, verdict: str | None
) -> None:
    known = next(iter(view.catalogue.images))
    with pytest.raises(InputError):
        view.review.decide({known: ACCEPTED, name or known: verdict})
    assert not (folder / "review").exists()


def test_nothing_is_written_through_a_link(view: View, folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "review").symlink_to(elsewhere)
    with pytest.raises(OutputError, match="link"):
        view.review.decide({next(iter(view.catalogue.images)): ACCEPTED})
    assert not any(elsewhere.iterdir())


def test_a_broken_record_of_decisions_is_begun_anew(view: View, folder: Path) -> None:
    name = next(iter(view.catalogue.images))
    (folder / "review").mkdir()
    for text in ("[1]", "{", json.dumps({name: {"verdict": "x"}, "strange": 1})):
        (folder / "review" / "decisions.json").write_text(text)
        assert view.review.verdicts() == {}
    assert view.review.decide({name: ACCEPTED}) == {name: ACCEPTED}


def test_a_run_that_is_not_at_its_end_has_no_manifest(folder: Path) -> None:
    for name in ("manifest.parquet", "collection.json"):
        (folder / name).unlink()
    view = View(folder)
    name = next(iter(view.catalogue.images))
    view.review.decide({name: ACCEPTED})
    assert View(folder).review.verdicts() == {name: ACCEPTED}
    assert not (folder / "manifest.parquet").exists()


def test_a_manifest_that_is_none_is_left_alone(view: View, folder: Path) -> None:
    (folder / "manifest.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(OutputError, match="cannot be read"):
        view.review.decide({next(iter(view.catalogue.images)): ACCEPTED})
    assert (folder / "manifest.parquet").read_bytes() == b"PAR1 or not"


def test_it_is_known_where_nothing_can_be_written(folder: Path) -> None:
    review = View(folder).review
    assert review.can_write
    assert isinstance(review, Review)
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    folder.chmod(0o500)
    assert not review.can_write
