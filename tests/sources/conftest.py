"""A PostgreSQL server with PostGIS, of the test run's own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "s3cret@/?pa ss"


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        port: Its port on the loopback address.
        admin: What psycopg is given to connect as its owner.
    """

    port: int
    admin: str

    def spec(self, query: str, *, user: str = "reader", password: str | None = PASSWORD) -> str:
        """The address of a layer, as a user would write it."""
        from urllib.parse import quote

        word = "" if password is None else ":" + quote(password, safe="")
        return f"postgresql://{user}{word}@127.0.0.1:{self.port}/gis?{query}"

    def run(self, statement: str, values: list[Any] | None = None) -> None:
        """Run a statement as the owner."""
        import psycopg

        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(statement, values)


def binaries() -> Path:
    """The folder of the server's programs."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("initdb"):
        places.append(Path(found).resolve().parent)
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    pytest.skip("no PostgreSQL server is installed; Debian's postgresql and postgis bring it")


def owner() -> str | None:
    """The user to run as: a server refuses to be run by root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgis() -> Iterator[Server]:
    """A server with the extension PostGIS and a user who may read; skips where there is none."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg, of the extra postgis, is missing")
    programs, user, port = binaries(), owner(), free_port()
    # Not under pytest's folder, which only its own user may enter.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if user is not None:
        shutil.chown(folder, user)
    data, options = folder / "data", f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True)

    try:
        made = run(
            programs / "initdb", "-D", data, "-U", "owner", "-E", "UTF8", "--no-sync", "-A", "trust"
        )
        if made.returncode:
            pytest.skip(f"no PostgreSQL server can be set up: {made.stderr.strip()[-200:]}")
        (data / "pg_hba.conf").write_text("local all all trust\nhost all all all scram-sha-256\n")
        log = folder / "log"
        started = subprocess.run(
            [programs / "pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start"],
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if started.returncode:
            pytest.skip(f"the PostgreSQL server does not start: {log.read_text()[-200:]}")
        try:
            server = Server(port, f"host={folder} port={port} user=owner dbname=gis")
            with psycopg.connect(
                f"host={folder} port={port} user=owner dbname=postgres", autocommit=True
            ) as connection:
                connection.execute("CREATE DATABASE gis")
                connection.execute("CREATE DATABASE plain")
                connection.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
            try:
                server.run("CREATE EXTENSION postgis")
                server.run("CREATE EXTENSION hstore")
            except psycopg.Error as error:
                pytest.skip(f"PostGIS is not installed: {str(error).splitlines()[0]}")
            server.run("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader")
            yield server
        finally:
            run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
