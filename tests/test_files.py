"""Files that appear whole or not at all, on disks that are really full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rsaug.errors import OutputError
from rsaug.files import write_whole

# Writes 200 kB over a file that holds "before", and reports.
WRITER = """
import sys
from pathlib import Path
from rsaug.errors import OutputError
from rsaug.files import write_whole

{limit}
path = Path(sys.argv[1]) / "tile.tif"
path.write_bytes(b"before")
try:
    write_whole(path, bytes(200_000))
except OutputError as error:
    print(error)
print(sorted(p.name for p in path.parent.iterdir()), path.read_bytes())
"""


def test_content_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_whole(path, b"first")
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_files_have_the_rights_of_ordinary_ones(tmp_path: Path) -> None:
    write_whole(tmp_path / "ours", b"")
    (tmp_path / "ordinary").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk as Linux does")
def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    unshare = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=64k none '{tmp_path}'"
    try:
        subprocess.run([*unshare, mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets nobody mount a file system of their own")
    script = tmp_path.with_suffix(".py")
    script.write_text(WRITER.format(limit=""))
    done = subprocess.run(
        [*unshare, f"{mount} && '{sys.executable}' '{script}' '{tmp_path}'"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [
        f"{tmp_path}/tile.tif could not be written: no space for its 200000 bytes is left; make "
        "room.",
        "['tile.tif'] b'before'",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="limits are a matter of Unix")
def test_limit_for_files_leaves_nothing_behind(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))"
    done = subprocess.run(
        [sys.executable, "-c", WRITER.format(limit=limit), str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [
        f"{tmp_path}/tile.tif could not be written: its 200000 bytes are above the limit for a "
        "file.",
        "['tile.tif'] b'before'",
    ]


def test_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"could not be written \(No such file or directory"):
        write_whole(tmp_path / "nowhere" / "file", b"")


def test_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(OutputError, match=r"could not be written \(Not a directory"):
        write_whole(tmp_path / "file" / "file", b"")


def test_target_that_is_a_folder_stays_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OutputError, match="could not be written"):
        write_whole(tmp_path / "file", b"content")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
