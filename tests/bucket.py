"""A bucket of a real S3-compatible server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


def settings(address: str) -> dict[str, str]:
    """Variables of the environment that lead to a server."""
    return {
        "AWS_ACCESS_KEY_ID": "name",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
    }


@dataclass(frozen=True)
class Bucket:
    """A bucket.

    Attributes:
        fs: The file system.
        name: Its name.
    """

    fs: Any
    name: str

    def address(self, key: str = "") -> str:
        """Address of an object or a folder in it."""
        return f"s3://{self.name}/{key}".rstrip("/")

    def put(self, file: Path, key: str | None = None) -> str:
        """Put a file into it; its address."""
        address = self.address(key or file.name)
        self.fs.pipe_file(address, file.read_bytes())
        return address

    def contents(self, folder: str, suffix: str = "") -> dict[str, bytes]:
        """Bytes of the objects below a folder, by their path in it."""
        keys = [key for key in self.fs.find(f"{self.name}/{folder}") if key.endswith(suffix)]
        start = len(f"{self.name}/{folder}/")
        return {key[start:]: self.fs.cat_file(key) for key in sorted(keys)}


@contextmanager
def serve(port: int = 0) -> Iterator[str]:
    """A server for a while; its address."""
    moto = pytest.importorskip("moto.server", reason="moto, a server of S3, is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def connected(address: str, patch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The file system of a server, which the environment names meanwhile."""
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed; it comes with rsaug[s3]")
    for variable, value in settings(address).items():
        patch.setenv(variable, value)
    # A connection goes to the server that the environment named when it was made.
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        yield s3fs.S3FileSystem(use_listings_cache=False)
    finally:
        s3fs.S3FileSystem.clear_instance_cache()


@contextmanager
def bucket_at(address: str, patch: pytest.MonkeyPatch, name: str = "tiles") -> Iterator[Bucket]:
    """A new bucket of a server that the environment names meanwhile."""
    with connected(address, patch) as fs:
        fs.mkdir(name)
        yield Bucket(fs, name)
