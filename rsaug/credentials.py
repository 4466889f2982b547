"""Content credentials: a signed statement in the file on what made it, by the C2PA standard.

What the tags say anybody can write. A C2PA manifest (Coalition for Content Provenance and
Authenticity, technical specification 2.4) says it over the signature of whoever made the image, and
holds for these bytes alone. It is put in last, on the finished file, and needs no network unless a
timestamp authority is named.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import numpy as np

from rsaug import __version__
from rsaug.errors import InputError, OutputError
from rsaug.files import write_whole
from rsaug.optional import require
from rsaug.provenance import Provenance
from rsaug.raster import encode_cog
from rsaug.storage import AnyPath, read
from rsaug.tiffroom import add_room, has_manifest, page_count, with_room

ASSERTION = "org.rsaug.provenance"
"""Label of the assertion that says what no assertion of the standard has a field for."""

_TIFF = "image/tiff"
_TRIES = 4
_FIRST_GUESS = 4096
_HEAD = 1 << 16
_MARGIN = 64  # bytes by which room makes a manifest longer, at most: numbers in it grow

# Nothing is asked for over the network when a manifest is read: no list of revoked certificates, no
# manifest that lies elsewhere, whatever the file names.
_OFFLINE: Mapping[str, Any] = {
    "version": 1,
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {"allowed_network_hosts": []},
}
_SIGNING: Mapping[str, Any] = {
    "version": 1,
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": True},
    "builder": {"thumbnail": {"enabled": False}, "created_assertion_labels": [ASSERTION]},
}
_NOT_TRUSTED = "signingCredential.untrusted"
_ASKED_FOR = (
    "C2PA asks for a certificate that another one vouches for, in its time, for digital signatures "
    "and for signing mail or documents."
)


class Signer:
    """A certificate with its key, that signs images; see `Signer.load`.

    Args:
        chain: Certificates in PEM, that of the signer first.
        key: The private key, PKCS 8 in PEM.
        algorithm: Its name in C2PA.
        about: What may be said of the certificate; see `describe`.
        timestamp_url: Timestamp authority (RFC 3161); None for none.
    """

    def __init__(
        self,
        chain: bytes,
        key: bytes,
        algorithm: str,
        about: Mapping[str, str],
        timestamp_url: str | None,
    ) -> None:
        self._chain, self._key, self._algorithm = chain, key, algorithm
        self._about, self._timestamp_url = dict(about), timestamp_url
        self._c2pa = require("c2pa", extra="c2pa")
        self._context = self._c2pa.Context.from_dict(dict(_SIGNING))
        self._size = _FIRST_GUESS
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """The certificate; never the key."""
        return f"Signer({self._about['subject']})"

    @classmethod
    def load(cls, certificates: str, key: str, timestamp_url: str | None = None) -> Self:
        """The signer of a file of certificates and a file with the key, tried out on a small image.

        Args:
            certificates: PEM, the signer's certificate first, then those that vouch for it.
            key: PEM, without a password: Ed25519, ECDSA (P-256, P-384, P-521) or RSA.
            timestamp_url: Timestamp authority that confirms when images were signed.

        Raises:
            InputError: if a file cannot be read, they do not belong together, or C2PA does not
                allow such a certificate.
            MissingExtra: without c2pa-python.
        """
        x509 = require("cryptography.x509", extra="c2pa")
        serialization = require("cryptography.hazmat.primitives.serialization", extra="c2pa")
        hashes = require("cryptography.hazmat.primitives.hashes", extra="c2pa")
        public, secret = _bytes_of(certificates), _bytes_of(key)
        try:
            chain = x509.load_pem_x509_certificates(public)
        except ValueError as error:
            raise InputError(f"{certificates} holds no certificate in PEM ({error}).") from error
        try:
            private = serialization.load_pem_private_key(secret, password=None)
        except (TypeError, ValueError) as error:
            # What a library says of a key is not repeated.
            raise InputError(
                f"{key} holds no private key that can be used; it has to be in PEM, without a "
                "password."
            ) from error
        if private.public_key() != chain[0].public_key():
            raise InputError(
                f"The key {key} does not belong to the first certificate of {certificates}; put "
                "the signer's certificate first."
            )
        if chain[0].issuer == chain[0].subject:
            raise InputError(f"The first certificate of {certificates} is its own. {_ASKED_FOR}")
        pem = serialization.Encoding.PEM
        about = {
            "subject": chain[0].subject.rfc4514_string(),
            "issuer": chain[0].issuer.rfc4514_string(),
            "certificate_sha256": chain[0].fingerprint(hashes.SHA256()).hex(),
        }
        signer = cls(
            b"".join(certificate.public_bytes(pem) for certificate in chain),
            private.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            _algorithm(private, key),
            about,
            timestamp_url,
        )
        signer._rehearse(certificates)
        return signer

    def describe(self) -> dict[str, str]:
        """What a record may say of it: subject, issuer and fingerprint of the certificate."""
        return dict(self._about)

    def sign(self, content: bytes, provenance: Provenance, name: str) -> bytes:
        """An image's file with a manifest; all else in it is as it was, and at the same place.

        Signed twice, the manifests differ: the standard salts them.

        Args:
            content: A TIFF file of one directory without a manifest, as `encode_cog` makes it.
            provenance: What made the image.
            name: Name of the file.

        Raises:
            OutputError: if it cannot be signed.
        """
        target = io.BytesIO()

        def attempt(size: int) -> int:
            target.seek(0)
            target.truncate()
            source = io.BytesIO(with_room(content, size))
            return self._embed(source, target, provenance, name)

        self._fit(attempt, name)
        return target.getvalue()

    def sign_file(self, path: Path, provenance: Provenance, name: str) -> None:
        """Sign an image that is on the disk, of any size and with any overviews.

        Args:
            path: The image; further files appear beside it for a time.
            provenance: What made it.
            name: What it will be called.

        Raises:
            OutputError: if it cannot be signed or written; the file is then as it was.
        """
        try:
            with path.open("rb") as file:
                pages = page_count(file)
        except OSError as error:
            raise OutputError(f"{path} could not be signed ({error.strerror}).") from error
        if pages == 1:
            write_whole(path, self.sign(path.read_bytes(), provenance, name))
            return
        mark = f"{os.getpid()}-{secrets.token_hex(4)}.part"
        roomy, signed = (path.with_name(f".{path.name}.{kind}-{mark}") for kind in ("room", "sign"))

        def attempt(size: int | None) -> int:
            with roomy.open("r+b") as source, signed.open("w+b") as target:
                if size is not None:
                    add_room(source, size)
                source.seek(0)
                return self._embed(source, target, provenance, name)

        try:
            shutil.copyfile(path, roomy)
            # Measured first: in a BigTIFF the library fails where there is too little room.
            self._size = attempt(None) + _MARGIN
            self._fit(attempt, name)
            signed.replace(path)
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(f"{path} could not be signed ({error.strerror}).") from error
        finally:
            for part in (roomy, signed):
                with suppress(OSError):
                    part.unlink()

    def _fit(self, attempt: Callable[[int], int], name: str) -> None:
        """Sign with room for as many bytes as the manifest turns out to have."""
        with self._lock:
            for _ in range(_TRIES):
                given, self._size = self._size, attempt(self._size)
                if self._size == given:
                    return
        raise OutputError(f"{name} could not be signed: its manifest is never of the same size.")

    def _embed(self, source: BinaryIO, target: BinaryIO, provenance: Provenance, name: str) -> int:
        """Write the signed file; the size of the manifest."""
        c2pa = self._c2pa
        info = c2pa.C2paSignerInfo(self._algorithm, self._chain, self._key, self._timestamp_url)
        try:
            with (
                c2pa.Signer.from_info(info) as signer,
                c2pa.Builder(_manifest(provenance, name), context=self._context) as builder,
            ):
                return len(builder.sign(signer, _TIFF, source, target))
        except c2pa.C2paError as error:
            raise OutputError(f"{name} could not be signed ({error}).") from error

    def _rehearse(self, certificates: str) -> None:
        blank = encode_cog(np.zeros((3, 16, 16), np.uint8), None)
        try:
            signed = self.sign(blank, Provenance("", "none", "", 0, 0), "rehearsal.tif")
        except OutputError as error:
            raise InputError(
                f"Nothing can be signed with {certificates}: {error} {_ASKED_FOR}"
            ) from error
        found = _read(io.BytesIO(signed), None)
        if found is None or found.state == "invalid":
            why = ", ".join(found.problems) if found else "no manifest"
            raise InputError(f"What {certificates} signs does not hold ({why}). {_ASKED_FOR}")


@dataclass(frozen=True)
class Credentials:
    """What the manifest of an image comes to.

    Attributes:
        state: ``invalid`` if the image or the manifest was altered; ``trusted`` if it holds and a
            given anchor vouches for the signer; else ``valid``.
        signer: Name in the certificate, and organisation.
        problems: Why it is invalid, in the codes of the standard.
        said: What `ASSERTION` says; empty where there is none.
        time: When it was signed, as a timestamp authority says; empty without one.
    """

    state: Literal["invalid", "valid", "trusted"]
    signer: str
    problems: tuple[str, ...] = ()
    said: Mapping[str, object] = field(default_factory=dict)
    time: str = ""


def is_signed(path: AnyPath) -> bool:
    """Whether a file is a TIFF with a manifest, whatever that says.

    Raises:
        OSError: if it cannot be read.
    """
    if isinstance(path, Path):
        with path.open("rb") as file:
            return has_manifest(file)
    # The directory of an image of one tile is at its beginning, which spares bringing all of it.
    head = read(path, _HEAD)
    if has_manifest(io.BytesIO(head)) or len(head) < _HEAD:
        return has_manifest(io.BytesIO(head))
    return has_manifest(io.BytesIO(read(path)))


def read_credentials(path: AnyPath, anchors: str | None = None) -> Credentials | None:
    """What the manifest of an image comes to, without any request to a server; None if none.

    Args:
        path: The image, in any format that C2PA knows.
        anchors: PEM, certificates of those who are trusted to vouch for signers.

    Raises:
        InputError: if a file cannot be read.
        MissingExtra: without c2pa-python.
    """
    try:
        with _opened(path) as file:
            return _read(file, anchors)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error


def read_anchors(path: str) -> str:
    """Certificates of those who are trusted to vouch for signers, PEM.

    Raises:
        InputError: if the file cannot be read, or holds none.
    """
    trusted = _bytes_of(path).decode("utf-8", "replace")
    # The library takes any text, and then trusts nobody.
    if "-----BEGIN CERTIFICATE-----" not in trusted:
        raise InputError(f"{path} holds no certificate in PEM; name a file that does.")
    return trusted


def _read(file: BinaryIO, anchors: str | None) -> Credentials | None:
    c2pa = require("c2pa", extra="c2pa")
    settings = dict(_OFFLINE)
    if anchors is not None:
        settings["trust"] = {"user_anchors": read_anchors(anchors)}
    context = c2pa.Context.from_dict(settings)
    try:
        with c2pa.Reader(None, file, context=context) as reader:
            document = json.loads(reader.json())
    except (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported):
        return None
    except (c2pa.C2paError, ValueError) as error:
        return Credentials("invalid", "", (f"cannot be read: {error}",))
    return _judged(document)


def _judged(document: Mapping[str, Any]) -> Credentials:
    """What a report of the library means."""
    manifest = document.get("manifests", {}).get(document.get("active_manifest"), {})
    codes = [status["code"] for status in document.get("validation_status") or []]
    problems = tuple(dict.fromkeys(code for code in codes if code != _NOT_TRUSTED))
    states: dict[str, Literal["valid", "trusted"]] = {"Valid": "valid", "Trusted": "trusted"}
    who = manifest.get("signature_info") or {}
    names = [who[key] for key in ("common_name", "issuer") if who.get(key)]
    said = [a["data"] for a in manifest.get("assertions", []) if a.get("label") == ASSERTION]
    return Credentials(
        states.get(str(document.get("validation_state")), "invalid"),
        ", ".join(dict.fromkeys(names)) or "no name",
        problems,
        said[0] if said and isinstance(said[0], dict) else {},
        str(who.get("time") or ""),
    )


def _manifest(provenance: Provenance, name: str) -> dict[str, Any]:
    """What is signed, as the library takes it."""
    agent = {"name": provenance.model, "version": f"sha256:{provenance.weights_sha256}"}
    action = {
        "action": "c2pa.created",
        "digitalSourceType": provenance.source_type,
        "softwareAgent": agent,
    }
    return {
        "claim_generator_info": [{"name": "rsaug", "version": __version__}],
        "title": name,
        "format": _TIFF,
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": [action]}},
            {"label": ASSERTION, "data": provenance.facts()},
        ],
    }


def _algorithm(private: object, path: str) -> str:
    """Name in C2PA of what a key signs with.

    Raises:
        InputError: for a key of another kind.
    """
    ec, ed25519, rsa = (
        require(f"cryptography.hazmat.primitives.asymmetric.{kind}", extra="c2pa")
        for kind in ("ec", "ed25519", "rsa")
    )
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    curve = private.curve.name if isinstance(private, ec.EllipticCurvePrivateKey) else None
    found = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}.get(str(curve))
    if found is None:
        raise InputError(f"{path} holds a key that C2PA has no use for; take Ed25519 or P-256.")
    return found


def _opened(path: AnyPath) -> BinaryIO:
    return path.open("rb") if isinstance(path, Path) else io.BytesIO(read(path))


def _bytes_of(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
