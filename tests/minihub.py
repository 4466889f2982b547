"""As much of the Hugging Face hub as its client needs to fetch a model, on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class MiniHub:
    """A hub for as long as the context lasts; the client of this process goes to it.

    Args:
        cache: folder of the local cache.
        models: folders of models by their ids.
        extra: further files of each model.
    """

    def __init__(
        self, cache: Path, models: Mapping[str, Path], extra: Mapping[str, bytes] | None = None
    ) -> None:
        self._files = {
            f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
            for name, folder in models.items()
            for path in folder.rglob("*")
            if path.is_file()
        }
        self._files |= {
            f"{name}/{path}": content for name in models for path, content in (extra or {}).items()
        }
        self.asked: list[str] = []
        cache.mkdir(parents=True, exist_ok=True)
        self._cache = cache
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        """Start the server and point the client to it."""
        import huggingface_hub.constants as constants

        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{self._server.server_port}"
        self.url = url
        self._patch.setattr(constants, "ENDPOINT", url)
        self._patch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        self._patch.setattr(constants, "HF_HUB_CACHE", str(self._cache))
        self._patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        from huggingface_hub import hf_api

        self._patch.setattr(hf_api.api, "endpoint", url)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server and point the client back."""
        self._patch.undo()
        self.stop()

    def stop(self) -> None:
        """Be out of reach."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        path = path.partition("?")[0]
        if path.startswith("/api/models/"):
            name = "/".join(path.split("/")[3:5])
            names = [file for file in self._files if file.startswith(f"{name}/")]
            if not names:
                return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
            siblings = [{"rfilename": file.removeprefix(f"{name}/")} for file in names]
            listed = [
                {
                    "type": "file",
                    "path": file.removeprefix(f"{name}/"),
                    "size": len(self._files[file]),
                    "oid": hashlib.sha1(self._files[file]).hexdigest(),
                }
                for file in names
            ]
            info = {"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
            found: object = listed if "/tree/" in path else info
            return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()
        parts = path.strip("/").split("/")  # owner, name, "resolve", commit, and the path
        file = "/".join(parts[:2] + parts[4:])
        if file not in self._files:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b""
        self.asked.append(file)
        content = self._files[file]
        tag = hashlib.sha1(content).hexdigest()
        return 200, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}, content

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _send(self, body: bool) -> None:
                status, headers, content = hub._answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Connection", "close")
                self.end_headers()
                if body:
                    self.wfile.write(content)

            def do_GET(self) -> None:
                self._send(True)

            def do_HEAD(self) -> None:
                self._send(False)

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

        return Handler
