"""The page and what it asks for, over HTTP, on this machine.

What a request names is looked up in the catalogue: no part of an address ever becomes a path.
"""

from __future__ import annotations

import json
import math
import secrets
import socket
import warnings
from collections.abc import Callable, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

import rasterio
import rasterio.errors

from rsaug.errors import InputError, RsaugError
from rsaug.optional import require
from rsaug.viewer.guard import Guard, is_loopback
from rsaug.viewer.layers import NOTHING
from rsaug.viewer.review import BusyError
from rsaug.viewer.view import View
from rsaug.viewer.webtiles import WebTile

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from fastapi.responses import Response

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
_VENDOR = "vendor/maplibre-gl"
_PAGE = "index.html"
_KEEP_TILES = "private, max-age=86400, immutable"
_PORTS = 20
_BLOCK_BYTES = 64 << 20
"""What GDAL remembers of files that are open; else a twentieth of the machine's memory."""


def static_files() -> dict[str, tuple[str, bytes]]:
    """Content type and content of all that the page consists of, by name."""
    found = {}
    static = resources.files("rsaug.viewer") / "static"
    for folder in ("", _VENDOR):
        for file in (static / folder).iterdir() if folder else static.iterdir():
            kind = file.name.rpartition(".")[2]
            if file.is_file() and kind in _TYPES:
                found[file.name] = _TYPES[kind], file.read_bytes()
    return found


def make_app(view: View, host: str, token: str) -> Guard:
    """The server's application.

    Args:
        view: What is looked at.
        host: Where the server listens.
        token: What a request that changes something has to carry.

    Raises:
        MissingExtra: without the extra ``view``.
    """
    fastapi = require("fastapi", extra="view")
    app: FastAPI = fastapi.FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    errors = require("fastapi.exceptions", extra="view")

    # What was sent is not sent back: it may be long, or no text.
    @app.exception_handler(errors.RequestValidationError)
    def no_number(request: Any, error: Exception) -> Any:
        return _told(422, "Numbers are needed in this address.")

    _add_page(app, view, token, secrets.token_hex(4))
    _add_reads(app, view)
    _add_tiles(app, view)
    _add_review(app, view)
    return Guard(app, host, token)


def _add_page(app: FastAPI, view: View, token: str, start: str) -> None:
    files = static_files()
    kind, page = files.pop(_PAGE)
    page = page.replace(b"{{token}}", token.encode()).replace(b"{{start}}", start.encode())

    @app.get("/")
    def index() -> Any:
        view.opening()
        return _answer(page, kind)

    @app.get("/static/{name}")
    def static(name: str) -> Any:
        if name not in files:
            return _told(404, "There is no such file.")
        return _answer(files[name][1], files[name][0])

    @app.get("/favicon.ico")
    def favicon() -> Any:
        kind, content = files["icon.svg"]
        return _answer(content, kind)


def _add_reads(app: FastAPI, view: View) -> None:
    @app.get("/api/run")
    def run() -> Any:
        return _json(view.about())

    @app.get("/api/images/{name}")
    def image(name: str) -> Any:
        return _looked_up(lambda: view.image(name))

    @app.get("/api/real")
    def real() -> Any:
        return _looked_up(view.real)

    @app.get("/api/shares")
    def shares() -> Any:
        return _json(view.shares())

    @app.get("/api/roads")
    def roads(west: float, south: float, east: float, north: float) -> Any:
        box = west, south, east, north
        if not all(math.isfinite(edge) and abs(edge) <= 1000 for edge in box):
            return _told(400, "That is no box in degrees.")
        return _looked_up(lambda: view.roads(box))


def _add_tiles(app: FastAPI, view: View) -> None:
    # The first part differs from start to start, so that a browser may keep what it has.
    @app.get("/tiles/{start}/{layer}/{z}/{x}/{y}")
    def tile(start: str, layer: str, z: int, x: int, y: int) -> Any:
        try:
            png = view.png(layer, WebTile(z, x, y))
        except KeyError:
            return _told(404, "There is no such layer.")
        except InputError as error:
            return _told(404, str(error))
        return _answer(png or NOTHING, "image/png", cache=_KEEP_TILES)


def _add_review(app: FastAPI, view: View) -> None:
    threads = require("fastapi.concurrency", extra="view")

    async def review(request: Request) -> Response:
        verdicts = _verdicts(await request.body())
        if verdicts is None:
            return _told(422, 'Verdicts are needed, as {"verdicts": {"image": "accepted"}}.')
        answer: Response = await threads.run_in_threadpool(_decided, view, verdicts)
        return answer

    # Without FastAPI, which says at length what is wrong with each part of a body.
    app.add_route("/api/review", review, methods=["POST"])


def _verdicts(body: bytes) -> dict[str, str | None] | None:
    """The verdicts in the body of a request; None where it holds none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    verdicts = document.get("verdicts") if isinstance(document, dict) else None
    good = isinstance(verdicts, dict) and all(
        verdict is None or isinstance(verdict, str) for verdict in verdicts.values()
    )
    return verdicts if good else None


def _decided(view: View, verdicts: Mapping[str, str | None]) -> Response:
    try:
        return _json({"verdicts": view.review.decide(verdicts)})
    except BusyError as error:
        return _told(409, str(error))
    except InputError as error:
        return _told(400, str(error))
    except RsaugError as error:
        return _told(500, str(error))


def _looked_up(find: Callable[[], Mapping[str, Any]]) -> Response:
    try:
        return _json(find())
    except KeyError:
        return _told(404, "There is no such thing in this run.")
    except RsaugError as error:
        return _told(422, str(error))


def _told(status: int, sentence: str) -> Response:
    return _json({"detail": sentence}, status)


def _json(document: Mapping[str, Any], status: int = 200) -> Response:
    content = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return _answer(content, "application/json", status)


def _answer(content: bytes, kind: str, status: int = 200, cache: str = "no-cache") -> Response:
    response: Response = require("fastapi.responses", extra="view").Response(
        content, status, {"cache-control": cache}, kind
    )
    return response


def serve(
    view: View,
    host: str,
    port: int | None,
    on_ready: Callable[[str], None],
) -> None:
    """Answer until stopped.

    Args:
        view: What is looked at.
        host: Where to listen.
        port: On which port; by default the first free one from 8600 on.
        on_ready: Called with the address of the page when it can be opened.

    Raises:
        InputError: if it cannot listen there.
        MissingExtra: without the extra ``view``.
    """
    uvicorn = require("uvicorn", extra="view")
    app = make_app(view, host, secrets.token_urlsafe(24))
    # rasterio silences it where it warps arrays, but for one thread at a time.
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    with _listening(host, port) as sock, rasterio.Env(GDAL_CACHEMAX=_BLOCK_BYTES):
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            # Nobody stands between this server and the browser.
            proxy_headers=False,
            # The one that is tested with what no browser sends.
            http="h11",
            ws="none",
            timeout_keep_alive=60,
        )
        view.start()
        on_ready(f"http://{_shown(host)}:{sock.getsockname()[1]}/")
        uvicorn.Server(config).run(sockets=[sock])


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


FIRST_PORT = 8600


def _listening(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    ports = range(FIRST_PORT, FIRST_PORT + _PORTS) if port is None else [port]
    error: OSError | None = None
    for number in ports:
        # Named, since only then asyncio turns off Nagle's algorithm, which costs answers 40 ms.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, number))
            sock.listen(128)
        except OSError as failed:
            sock.close()
            error = failed
            continue
        return sock
    asked = f"port {port}" if port is not None else f"ports {ports[0]} to {ports[-1]}"
    why = error.strerror if error is not None and error.strerror else str(error)
    raise InputError(f"The {asked} of {host} cannot be listened on ({why}); give another --port.")


def warning(host: str) -> str | None:
    """What whoever starts a server that others reach should know; None for one of this machine."""
    if is_loopback(host):
        return None
    return (
        f"Whoever reaches this machine as {host} can see the run and accept or reject its images: "
        "there is no password and no encryption."
    )
