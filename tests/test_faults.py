"""What goes wrong around a run: a network that drops, a clock that jumps, a file in the way."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bucket import bucket_at, serve
from painter import Painter, contents, write_roads

from rsaug.errors import OutputError
from rsaug.options import SynthOptions
from rsaug.progress import RunReport
from rsaug.status import read_status
from rsaug.storage import place
from rsaug.synthesis import make_plan, run
from rsaug.verification import verify

LATER, BEFORE = 4_000_000_000.0, 1.0  # 2096 and 1970


@pytest.fixture
def asked(tmp_path: Path) -> SynthOptions:
    roads = write_roads(tmp_path / "roads.gpkg", rows=1, cols=3)
    return SynthOptions(roads=str(roads), gsd=0.5, tile_size=128, out=str(tmp_path / "out"))


def make(options: SynthOptions) -> RunReport:
    return run(make_plan(options), Painter())


class Relay:
    """Hands on what is said to a server, and hangs up where it is told to.

    Attributes:
        hangs_up: Whether the connection of a number is to be cut, in the middle of its answer.
        connections: How many there were.
    """

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self._server = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.hangs_up: Callable[[int], bool] = lambda number: False
        self.connections = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                number, self.connections = self.connections, self.connections + 1
                threading.Thread(target=self._hand_on, args=(client, number), daemon=True).start()

    def _hand_on(self, client: socket.socket, number: int) -> None:
        with suppress(OSError), client, socket.create_connection(self._server) as server:
            there = threading.Thread(target=self._copy, args=(client, server, None), daemon=True)
            there.start()
            # Half of the first line of the answer, or all of it.
            self._copy(server, client, 10 if self.hangs_up(number) else None)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket, most: int | None) -> None:
        with suppress(OSError):
            while block := source.recv(1 << 16):
                target.sendall(block if most is None else block[:most])
                if most is not None:
                    break
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def relayed() -> Iterator[Relay]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with serve() as server:
        relay = Relay(server)
        try:
            yield relay
        finally:
            relay.close()


def test_a_store_that_drops_connections_loses_nothing(
    asked: SynthOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(asked)
    wanted = contents(Path(str(asked.out)))
    # Otherwise a connection is kept, and only the first could be dropped.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    with relayed() as relay, bucket_at(relay.address, monkeypatch, "drops") as bucket:
        relay.hangs_up = lambda number: number % 3 == 1
        there = replace(asked, out=bucket.address("run"))
        for _ in range(5):
            try:
                report = make(there)
                break
            except OutputError as error:
                assert "could not be written" in str(error)  # noqa: PT017 - it need not be raised
        relay.hangs_up = lambda number: False
        assert report.progress.made + report.progress.kept == 3
        found = bucket.contents("run")
        assert relay.connections > 3
        assert {*found} == {*wanted}
        # The documents have the time in them at which their run was begun.
        pixels = [name for name in wanted if name.endswith(".tif")]
        assert [found[name] for name in pixels] == [wanted[name] for name in pixels]
        assert verify(place(str(there.out))).findings == ()


def test_a_store_that_goes_away_ends_the_run_and_it_goes_on_after(
    asked: SynthOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with relayed() as relay, bucket_at(relay.address, monkeypatch, "away") as bucket:
        there = replace(asked, out=bucket.address("run"))
        plan = make_plan(there)

        class Cut(Painter):
            """Loses the store with its second image."""

            def generate(self, requests):  # type: ignore[no-untyped-def]
                if len(self.painted) == 1:
                    relay.hangs_up = lambda number: True
                    bucket.fs.clear_instance_cache()
                    bucket.fs.connect(refresh=True)
                return super().generate(requests)

        with pytest.raises(OutputError, match="could not be written"):
            run(plan, Cut())
        relay.hangs_up = lambda number: False
        bucket.fs.connect(refresh=True)
        report = make(there)
        assert report.progress.made + report.progress.kept == 3
        assert verify(place(str(there.out))).findings == ()


@pytest.mark.parametrize("moment", [LATER, BEFORE])
def test_a_clock_that_jumps_makes_nothing_again(asked: SynthOptions, moment: float) -> None:
    make(asked)
    out = Path(str(asked.out))
    before = contents(out)
    for number, path in enumerate(sorted(out.rglob("*"))):
        # Backwards as well as forwards, within a run and as a whole.
        os.utime(path, (moment - 60 * number, moment - 60 * number))
    status = read_status(out, 1_700_000_000.0)
    assert status.complete == 3
    assert status.idle_seconds is not None
    assert status.idle_seconds >= 0
    assert status.seconds_per_image is not None
    assert status.seconds_per_image >= 0
    assert "-" not in str(status.seconds_per_image)
    report = make(asked)
    assert (report.progress.made, report.progress.kept) == (0, 3)
    assert contents(out) == before
    assert verify(out).findings == ()


def test_a_folder_where_a_file_belongs_is_told(asked: SynthOptions) -> None:
    make(asked)
    out = Path(str(asked.out))
    (item, *_) = sorted((out / "items").iterdir())
    item.unlink()
    item.mkdir()
    with pytest.raises(OutputError, match="could not be written"):
        make(asked)
    assert not list(out.rglob("*.part"))
    item.rmdir()
    assert make(asked).progress.kept + make(asked).progress.made >= 3
    assert verify(out).findings == ()
