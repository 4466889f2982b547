"""The script that uses the library for long: it judges rightly, and both uses come to their end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runfolder import painted_run
from scriptfile import load_script

SOAK = load_script("soak")


def samples(
    rss_mib: Callable[[float], float], objects: Callable[[float], int] = lambda s: 9000
) -> list[Any]:
    """An hour of samples, one a minute, a third of the time much smaller than later."""
    return [
        SOAK.Sample(
            seconds=60.0 * k,
            cycles=k,
            rss_mib=rss_mib(60.0 * k) - (300 if k < 15 else 0),
            objects=objects(60.0 * k),
            files=9 + k % 2,
            threads=7,
            processor_s=9.0 * k,
            done={"page": k},
        )
        for k in range(61)
    ]


def test_what_stays_is_not_told() -> None:
    # It grows at first and goes up and down later.
    assert SOAK.climbs(samples(lambda s: 500 + 40 * (s // 60 % 2))) == []
    assert SOAK.climbs(samples(lambda s: 500 + 30 * s / 3600)) == []


def test_what_climbs_is_told() -> None:
    (memory,) = SOAK.climbs(samples(lambda s: 500 + 90 * s / 3600 + 20 * (s // 60 % 2)))
    found = re.fullmatch(r"rss_mib climbs from ([\d.]+) to ([\d.]+)\.", memory)
    assert found is not None
    assert float(found[2]) - float(found[1]) == pytest.approx(60, abs=2)
    (leak,) = SOAK.climbs(samples(lambda s: 500, lambda s: 9000 + int(s)))
    assert leak.startswith("objects climbs")


def test_the_line_is_that_of_least_squares() -> None:
    """A straight line is found as it is, and what goes up and down alike moves nothing."""
    straight = samples(lambda s: 400 + s / 60)[15:]
    assert SOAK.line(straight, "rss_mib") == pytest.approx((415, 460))
    noisy = samples(lambda s: 400 + s / 60 + [0, 1, -2, 1][int(s // 60) % 4])[16:]
    assert SOAK.line(noisy, "rss_mib") == pytest.approx((416, 460), abs=0.3)
    assert SOAK.line(straight[:1], "rss_mib") == (415, 415)


def test_a_share_of_a_core_is_kept(tmp_path: Path) -> None:
    def cycle() -> dict[str, int]:
        return {"sum": sum(range(200_000)) and 1}

    taken = SOAK.soak(cycle, tmp_path / "out.jsonl", minutes=1.5 / 60, share=0.2, every_s=0.3)
    assert taken[-1].processor_s < 0.5 * taken[-1].seconds
    assert taken[-1].done["sum"] == taken[-1].cycles > 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["seconds"] for line in lines] == [each.seconds for each in taken]
    assert all(line["rss_mib"] > 1 and line["objects"] > 1000 for line in lines)


def test_a_run_is_looked_at(tmp_path: Path) -> None:
    """As a program of its own, since the server ends with it."""
    pytest.importorskip("fastapi", reason="needs the extra `view`")
    run, out = painted_run(tmp_path), tmp_path / "out.jsonl"
    script = str(SOAK.__file__)
    command = [sys.executable, script, "viewer", str(run), "--out", str(out)]
    more = ["--minutes", "0.02", "--every", "1", "--share", "1"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    last = json.loads(out.read_text().splitlines()[-1])
    walks = last["done"]["page"]
    assert walks == last["cycles"] > 0
    assert {kind: count / walks for kind, count in last["done"].items()} == {
        "page": 1, "part": 8, "tile": 24, "image": 4, "roads": 3, "review": 2,
    }  # fmt: skip
    assert "an hour" in done.stdout
    # A second is all warming up, so it may climb; but nothing else may be said.
    assert done.returncode in (0, 1)
    assert all("climbs" in line for line in done.stderr.splitlines())


@pytest.mark.filterwarnings("ignore::rsaug.notices.Notice")
def test_a_notebook_is_worked_through(tmp_path: Path) -> None:
    for package in ("diffusers", "torchgeo", "segmentation_models_pytorch"):
        pytest.importorskip(package)
    from painter import write_roads, write_wood
    from roaddata import make_massachusetts
    from toy import toy_pipeline

    toy_pipeline().save_pretrained(tmp_path / "model")
    user = SOAK.Notebook(
        roads=write_roads(tmp_path / "roads.gpkg"),
        landcover=write_wood(tmp_path / "wood.gpkg"),
        real=make_massachusetts(tmp_path / "real", tiles=12),
        dataset="massachusetts",
        model=str(tmp_path / "model"),
        steps=2,
        folder=tmp_path / "scratch",
    )
    (tmp_path / "scratch").mkdir()
    assert user.cycle() == {"image": 3, "conditions": 2, "batch": 3, "prediction": 1}
    assert [*(tmp_path / "scratch").iterdir()] == []
