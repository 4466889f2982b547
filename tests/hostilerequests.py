"""Requests to ``rsaug view`` that no page of ours sends, and what no answer may hold.

    PYTHONPATH=tests python tests/hostilerequests.py --requests 7000 --seed 1

makes a small run with secrets beside it, serves it as a user would, and asks over a socket, byte by
byte as a seed has it. Each request has to be answered or its connection closed; no answer is a
failure of the server; none holds a secret; the log has no traceback; memory stays; and of the files
only the review and the manifest change.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import rasterio
from PIL import Image
from runfolder import painted_run

MAGENTA = (255, 0, 255)
"""Colour of the secret raster; nothing of a run is drawn in it."""

PATIENCE_S = 60
_HEAD_END = b"\r\n\r\n"

NUMBERS = [
    *("0", "1", "2", "-1", "-0", "24", "25", "31", "64", "2147483648", "9223372036854775808"),
    *("18446744073709551616", "9" * 40, "9" * 4301, "1e308", "-1e308", "1e999", "nan", "NaN"),
    *("inf", "-inf", "Infinity", "0x10", "1_0", "1.5", "1.0", "+1", "%201", "", "--1", "%EF%BC%91"),
    *("%00", "1%00", "null", "true", "[]", "1;2", "1,2", "%D9%A3", "90", "-180", "1000", "1000.1"),
]
STEPS = [
    *("..", ".", "%2e%2e", "..%2f", "%2e%2e%2f", "..%5c", "%5c..%5c", "%252e%252e%252f", "..;"),
    *("%c0%ae%c0%ae", "%c0%af", "%00", "..%00", "%ff", "%ed%a0%80", "~", "%7e", "*", "?", "#", ""),
    *("file:%2f%2f", "http:%2f%2fevil.example", "C:", "%2f", "%2fetc", "proc", "self", "a" * 300),
]
METHODS = ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "G"]
HOSTS = [
    *("localhost", "LOCALHOST.", "[::1]:1", "evil.example", "127.0.0.1.evil.example", "", "a:b"),
    *("127.0.0.1@evil.example", "127.0.0.1:99999999", "[", "]", "0.0.0.0", "192.168.1.1", "\xff"),
    *("localhost, evil.example", "127.0.0.1 ", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"),
]
ORIGINS = ["null", "http://evil.example", "http://127.0.0.1", "file://", "\xe4://\xe4", ""]
SITES = ["cross-site", "same-site", "none", "same-origin", "", "\xff"]
TYPES = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
LENGTHS = ["-1", "1e3", "0x5", "", "99999999999999999999999", "9" * 5000, "\xb2", "1, 1", " 1"]


@dataclass
class Known:
    """What whoever asks knows of a server, more than a stranger does.

    Attributes:
        host: Name and port of the server.
        token: What a decision needs.
        layers: Ids of the layers.
        names: Names of the images.
        tiles: Tiles of the web over the run, as ``z/x/y``.
        files: Paths of files that nothing may be told of.
    """

    host: str
    token: str
    layers: Sequence[str]
    names: Sequence[str]
    tiles: Sequence[str]
    files: Sequence[str]


class Requests:
    """Requests as bytes.

    Args:
        seed: Decides all of them.
        known: What is known of the server.
    """

    def __init__(self, seed: int, known: Known) -> None:
        self._rng, self._known = random.Random(seed), known

    def one(self) -> tuple[str, bytes]:
        """A request, and what kind of one it is."""
        kinds = {
            "path": (self._path, 30),
            "tile": (self._tile, 25),
            "roads": (self._roads, 12),
            "review": (self._review, 20),
            "method": (self._method, 6),
            "wire": (self._wire, 7),
        }
        weights = [weight for _, weight in kinds.values()]
        kind = self._rng.choices([*kinds], weights)[0]
        return kind, kinds[kind][0]()

    def _some(self, choices: Sequence[str]) -> str:
        return self._rng.choice(choices)

    def _maybe(self, share: float) -> bool:
        return self._rng.random() < share

    def _number(self) -> str:
        if self._maybe(0.2):
            return str(self._rng.randint(-(2**33), 2**33))
        return repr(self._rng.uniform(-200, 200)) if self._maybe(0.1) else self._some(NUMBERS)

    def _steps(self) -> str:
        """A path that would lead elsewhere."""
        rng = self._rng
        steps = [self._some(STEPS) for _ in range(rng.randint(1, 8))]
        if self._maybe(0.5):
            steps = [self._some(STEPS[:10])] * rng.randint(1, 12)
        if self._maybe(0.2):
            steps.append(quote(rng.randbytes(rng.randint(1, 30))))
        target = self._some(self._known.files)
        steps.append(quote(target, safe="") if self._maybe(0.3) else target)
        return self._some(["/", "", "//"]).join(steps)

    def _path(self) -> bytes:
        known = self._known
        names = [*known.names, self._steps(), self._number()]
        front = self._some(["/", "//", "/static/", "/api/images/", "/tiles/s/", "/api/", ""])
        path = front + self._steps()
        if self._maybe(0.2):
            path = f"/api/images/{self._some(names)}"
        elif self._maybe(0.1):
            path = f"/static/{self._some(['viewer.js', 'index.html', self._steps()])}"
        return self._said("GET", path if self._maybe(0.9) else path + "/")

    def _tile(self) -> bytes:
        known = self._known
        layer = self._some([*known.layers, "real", "image-9", "..", self._steps(), ""])
        place = "/".join(self._number() for _ in range(3))
        if self._maybe(0.35):
            place = self._some(known.tiles)
        elif self._maybe(0.3):
            zoom = self._rng.randint(0, 25)
            place = f"{zoom}/{self._rng.randrange(1 << zoom)}/{self._rng.randrange(1 << zoom)}"
        return self._said("GET", f"/tiles/{self._some(['s', '', '%00'])}/{layer}/{place}")

    def _roads(self) -> bytes:
        edges = ["west", "south", "east", "north"]
        pairs = [f"{name}={self._number()}" for name in edges if self._maybe(0.95)]
        if self._maybe(0.3):
            west, south = self._rng.uniform(-180, 180), self._rng.uniform(-90, 90)
            box = [west, south, west + self._rng.uniform(-400, 400), south + 90]
            pairs = [f"{name}={value}" for name, value in zip(edges, box, strict=True)]
        if self._maybe(0.1):
            pairs += [self._some(["west=1", "a[]=1", "%00=%00", "=", "&"])] * 3000
        return self._said("GET", f"/api/roads?{'&'.join(pairs)}")

    def _review(self) -> bytes:
        known, rng = self._known, self._rng
        # Never empty: where more is announced than comes, a server waits.
        body = self._body() or b" "
        headers = {
            "x-rsaug-token": known.token,
            "content-type": "application/json",
            "content-length": str(len(body)),
        }
        if self._maybe(0.1):
            headers["x-rsaug-token"] = self._some(["", "\xff\xfe", known.token[:-1], "a" * 9000])
        if self._maybe(0.1):
            headers["content-type"] = self._some(TYPES)
        if self._maybe(0.1):
            headers["content-length"] = self._some(LENGTHS)
        if self._maybe(0.1):
            headers["origin"] = self._some([*ORIGINS, f"http://{known.host}"])
        if self._maybe(0.1):
            headers["transfer-encoding"] = self._some(["chunked", "gzip", "chunked, chunked", ""])
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [body] if part)
            body += b"0\r\n\r\n"
        if self._maybe(0.05):
            headers.pop(rng.choice([*headers]))
        return self._said("POST", "/api/review", headers, body)

    def _body(self) -> bytes:
        rng, known = self._rng, self._known
        if self._maybe(0.08):
            verdict = self._some(["accepted", "rejected"]) if self._maybe(0.7) else None
            return json.dumps({"verdicts": {self._some(known.names): verdict}}).encode()
        if self._maybe(0.1):
            inner = rng.choice([b"[", b'{"a":', b'{"verdicts":', b'[{"":'])
            return inner * rng.randint(1, 9000)
        if self._maybe(0.03):
            many = b",".join(b'"%d":%d' % (k, k) for k in range(rng.randint(1, 30_000)))
            return b'{"verdicts":{%s}}' % many
        if self._maybe(0.02):
            return b'{"verdicts":{"%s":"accepted"}}' % (b"a" * rng.randint(1 << 17, 1 << 20))
        if self._maybe(0.1):
            return rng.randbytes(rng.randint(0, 300))
        if self._maybe(0.05):
            return b'{"verdicts":%s}' % (b"9" * rng.randint(1, 9000))
        document = self._value(3)
        if self._maybe(0.7):
            key = self._some([*known.names, *known.files, "", "__proto__", "\ud800", "\0"])
            document = {"verdicts": {key: self._value(1)} if self._maybe(0.7) else self._value(2)}
        text = json.dumps(document)
        return text.encode(rng.choice(["utf-8", "utf-8", "utf-8", "utf-16", "utf-32", "utf-8-sig"]))

    def _value(self, deep: int) -> object:
        rng = self._rng
        if deep and self._maybe(0.4):
            return [self._value(deep - 1) for _ in range(rng.randint(0, 4))]
        if deep and self._maybe(0.5):
            keys = ["verdicts", "a", "\udfff", "constructor", *self._known.names[:1]]
            return {self._some(keys): self._value(deep - 1) for _ in range(rng.randint(0, 4))}
        numbers = [float("nan"), float("inf"), -0.0, 10**400, -1, 1e308, True, None]
        return rng.choice([*numbers, "accepted", "rejected", "ACCEPTED", "\ud800", "\0", "", "x"])

    def _method(self) -> bytes:
        path = self._some(["/", "/api/run", "/api/review", "/tiles/s/mask/0/0/0", self._steps()])
        headers = {} if self._maybe(0.5) else {"x-rsaug-token": self._known.token}
        body = self._rng.randbytes(self._rng.choice([0, 0, 9]))
        if body:
            headers["content-length"] = str(len(body))
        return self._said(self._some(METHODS), path, headers, body)

    def _wire(self) -> bytes:
        """What is hardly HTTP, or hardly meant for this server."""
        host, rng = f"Host: {self._known.host}", self._rng
        line = "GET /api/run HTTP/1.1"
        found = rng.choice(
            [
                [line],
                [line, host, host],
                [line, host, "Host: evil.example"],
                [line, "Host: evil.example", f"X-Forwarded-Host: {self._known.host}"],
                ["GET /api/run HTTP/9.9", host],
                ["GET /api/run", host],
                ["GET  /api/run  HTTP/1.1", host],
                ["GET http://evil.example/api/run HTTP/1.1", host],
                ["GET \x00/\x00 HTTP/1.1", host],
                [line, host, "no colon"],
                [line, host, "a: b\x00c", " folded: x"],
                [line, host, f"a: {'b' * rng.randint(1, 60_000)}"],
                [line, host, *(f"h{k}: {k}" for k in range(rng.randint(1, 900)))],
                [
                    line,
                    host,
                    "Upgrade: websocket",
                    "Connection: Upgrade",
                    "Sec-WebSocket-Key: eA==",
                ],
                [line, host, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"],
                [line, host, f"Range: bytes=0-{rng.randint(0, 1 << 40)}"],
                [line, host, "Expect: 100-continue", "Accept-Encoding: \xff"],
                [line, host, "Content-Length: 3", "", "abcGET /api/run HTTP/1.1", host],
                [line, host, f"Sec-Fetch-Site: {self._some(SITES)}", "Sec-Fetch-Mode: navigate"],
                ["PRI * HTTP/2.0", "", "SM"],
            ]
        )
        if self._maybe(0.1):
            return rng.randbytes(rng.randint(1, 200)) + _HEAD_END
        return "\r\n".join([*found, "", ""]).encode("latin-1")

    def _said(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> bytes:
        """A request with a few headers that may be wrong."""
        host = self._some(HOSTS) if self._maybe(0.06) else self._known.host
        all_ = {"host": host, **(headers or {})}
        if self._maybe(0.05):
            all_["sec-fetch-site"] = self._some(SITES)
        if self._maybe(0.03):
            all_["origin"] = self._some(ORIGINS)
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {v}" for name, v in all_.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@dataclass
class Answer:
    """What came back.

    Attributes:
        status: 0 where the connection was closed without a word.
        headers: As they are.
        body: As it is.
    """

    status: int
    headers: bytes = b""
    body: bytes = b""


class Wire:
    """A connection to a server, made anew where it was closed.

    Args:
        host: Name and port.
    """

    def __init__(self, host: str) -> None:
        name, _, port = host.partition(":")
        self._where = name, int(port)
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> Answer:
        """Send a request and read the answer.

        Raises:
            TimeoutError: if neither an answer comes nor the connection is closed.
        """
        if self._socket is None:
            self._socket = socket.create_connection(self._where, timeout=PATIENCE_S)
        answer = Answer(0)
        with contextlib.suppress(ConnectionError):
            # A server that has seen enough reads no further.
            with contextlib.suppress(ConnectionError):
                self._socket.sendall(request)
            answer = self._read(self._socket, request.startswith(b"HEAD "))
        # What is not wholly read by the server would be read as the next request.
        alone = request.startswith(b"GET /") and request.find(_HEAD_END) == len(request) - 4
        if not alone or answer.status not in (200, 404):
            self.close()
        return answer

    def close(self) -> None:
        """Go."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    @staticmethod
    def _read(sock: socket.socket, bare: bool) -> Answer:
        content = b""
        while _HEAD_END not in content:
            more = sock.recv(1 << 16)
            if not more:
                return Answer(0, b"", content)
            content += more
        headers, _, body = content.partition(_HEAD_END)
        status = int(headers.split(b" ", 2)[1])
        if status == 100:
            return Wire._read(sock, bare)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", headers)
        wanted = 0 if bare or length is None else int(length[1])
        while len(body) < wanted:
            more = sock.recv(1 << 20)
            if not more:
                break
            body += more
        return Answer(status, headers, body)


@dataclass
class Place:
    """A run with secrets in it and beside it.

    Attributes:
        folder: Holds all of it.
        run: The run.
        secret: What no answer may hold.
    """

    folder: Path
    run: Path
    secret: str

    @classmethod
    def at(cls, folder: Path) -> Place:
        """Made in an empty folder."""
        run, secret = painted_run(folder), f"canary-{os.urandom(12).hex()}"
        place = cls(folder, run, secret)
        for path in (folder / "canary.txt", run / "canary.txt", run / "items" / "canary.txt"):
            path.write_text(secret)
        (folder / "canary.json").write_text(json.dumps({"verdicts": {secret: secret}}))
        first = next((run / "images").glob("*.tif"))
        with rasterio.open(first) as src:
            profile, shape = src.profile, src.shape
        with rasterio.open(folder / "canary.tif", "w", **profile) as dst:
            dst.write(np.tile(np.array(MAGENTA, dtype=np.uint8)[:, None, None], (1, *shape)))
        (run / "images" / "link.tif").symlink_to(folder / "canary.tif")
        (run / "link.txt").symlink_to(folder / "canary.txt")
        return place

    def files(self) -> dict[str, bytes]:
        """Content of all files that a review does not change."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.name != "manifest.parquet" and path.parent.name != "review"
        }

    def told(self, answer: Answer) -> bool:
        """Whether an answer holds a secret."""
        if self.secret.encode() in answer.headers + answer.body:
            return True
        if b"image/png" not in answer.headers or answer.status != 200:
            return False
        pixels = np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGB"))
        return bool((pixels == MAGENTA).all(axis=2).any())


@contextlib.contextmanager
def server(place: Place) -> Iterator[tuple[str, int, Path]]:
    """``rsaug view`` of a run, as a process: name and port, its id, and what it has to say."""
    log = place.folder / "view.log"
    command = [sys.executable, "-c", "from rsaug.cli import main; main()"]
    command += ["view", str(place.run), "--port", "0"]
    with (
        log.open("wb") as said,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, env={**os.environ, "CANARY": place.secret}
        ) as process,
    ):
        try:
            if process.stdout is None:
                raise RuntimeError("the server says nothing")
            address = process.stdout.readline().decode().strip()
            yield urlsplit(address).netloc, process.pid, log
        finally:
            process.terminate()


def known_of(host: str, place: Place) -> Known:
    """What the page of a server says."""
    wire = Wire(host)
    page = wire.ask(f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    run = wire.ask(f"GET /api/run HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    token = re.search(rb'name="token" content="([^"]+)"', page.body)
    if token is None:
        raise RuntimeError("the page has no token")
    about = json.loads(run.body)
    wire.close()
    (lon, lat), tiles = about["images"]["outline"][0][0], []
    for zoom in range(12, 21):
        x = int((lon + 180) / 360 * 2**zoom)
        down = 0.5 - np.arcsinh(np.tan(np.radians(lat))) / (2 * np.pi)
        tiles.append(f"{zoom}/{x}/{int(down * 2**zoom)}")
    files = ["canary.txt", "canary.tif", "link.txt", "images/link.tif", "run.json", "etc/passwd"]
    files += ["proc/self/environ", "items/canary.txt", str(place.folder / "canary.txt")]
    layers = [layer["id"] for layer in about["layers"]]
    return Known(host, token[1].decode(), layers, about["images"]["name"], tiles, files)


@dataclass
class Found:
    """What came of all requests.

    Attributes:
        statuses: How many of each kind had which status.
        wrong: What may not be.
        mib: Most memory that the server has had: before, and at the end; None where not known.
    """

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    mib: tuple[int, int] | None = None


def ask_all(place: Place, count: int, seed: int) -> Found:
    """Serve a run and ask so many requests."""
    found, before = Found(), place.files()
    with server(place) as (host, process, log):
        requests, wire = Requests(seed, known_of(host, place)), Wire(host)
        began = peak_mib(process)
        for number in range(count):
            kind, request = requests.one()
            try:
                answer = wire.ask(request)
            except TimeoutError:
                found.wrong.append(f"{number}: no answer to {request[:300]!r}")
                wire.close()
                continue
            found.statuses[kind, answer.status] += 1
            if answer.status >= 500:
                found.wrong.append(f"{number}: {answer.status} to {request[:300]!r}")
            if place.told(answer):
                found.wrong.append(f"{number}: a secret in the answer to {request[:300]!r}")
        last = wire.ask(f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        if last.status != 200:
            found.wrong.append(f"the page answers {last.status} at the end")
        wire.close()
        ended = peak_mib(process)
        if began is not None and ended is not None:
            found.mib = began, ended
    said = log.read_text("utf-8", "replace")
    log.unlink()
    if "Traceback" in said or place.secret in said:
        found.wrong.append(f"the log: {said[-3000:]}")
    if place.files() != before:
        found.wrong.append("files were changed")
    return found


def peak_mib(process: int) -> int | None:
    """Most memory that a process has had; None where the system does not say."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) / 1024)


def main() -> None:
    """Ask, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=7000)
    parser.add_argument("--seed", type=int, action="append", metavar="SEED", default=[])
    given = parser.parse_args()
    failed = False
    for seed in given.seed or [0]:
        with tempfile.TemporaryDirectory() as folder:
            found = ask_all(Place.at(Path(folder)), given.requests, seed)
        statuses = {f"{kind} {status}": n for (kind, status), n in sorted(found.statuses.items())}
        report = {"seed": seed, "requests": given.requests, "answers": statuses}
        print(json.dumps({**report, "mib": found.mib, "wrong": found.wrong}, indent=1))  # noqa: T201
        failed = failed or bool(found.wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
