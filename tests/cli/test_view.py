"""``rsaug view`` from the command line."""

from __future__ import annotations

import signal
import subprocess
import sys
import sysconfig
import urllib.request
from pathlib import Path

import pytest
from runfolder import painted_run
from typer.testing import CliRunner

from rsaug.cli import app

RSAUG = Path(sysconfig.get_path("scripts")) / "rsaug"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no run.json"),
        (["s3://bucket/run"], "in a store"),
        ([".", "--real", "nowhere.tif"], "--real"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["view", *arguments])
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_missing_library_is_told_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(app, ["view", str(tmp_path)])
    assert result.exit_code == 2
    assert "pip install 'rsaug[view]'" in result.output


def test_it_answers_until_it_is_stopped(tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="needs the extra `view`")
    run = painted_run(tmp_path, variants=1)
    command = [str(RSAUG), "view", str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().decode().strip()
            assert address.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert b"<title>rsaug view</title>" in answer.read()
            taken = address.rpartition(":")[2].strip("/")
            second = CliRunner().invoke(app, ["view", str(run), "--port", taken])
            assert second.exit_code == 2
            assert "another --port" in second.output
            server.send_signal(signal.SIGINT)
            _, said = server.communicate(timeout=60)
        finally:
            server.kill()
    assert server.returncode == 0
    assert b"Traceback" not in said
