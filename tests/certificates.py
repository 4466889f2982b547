"""Certificates to sign with, made anew: an authority and a signer that it vouches for."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Papers:
    """Files in PEM.

    Attributes:
        chain: The signer's certificate and the authority's.
        key: The signer's private key.
        anchor: The authority's certificate.
    """

    chain: str
    key: str
    anchor: str


def write_papers(
    folder: Path,
    kind: str = "ed25519",
    *,
    name: str = "Town Hall",
    days: int = 30,
    self_signed: bool = False,
    for_mail: bool = True,
    password: bytes | None = None,
) -> Papers:
    """The files of a signer; skips without the library that makes them.

    Args:
        folder: Where to write; made if it is not there.
        kind: Of keys: ``ed25519``, ``rsa``, ``secp256r1`` or another curve.
        name: Of the signer.
        days: For how long from now the certificates hold; none for -1.
        self_signed: Whether the signer vouches for itself.
        for_mail: Whether the certificate is for signing mail, as C2PA asks.
        password: Of the key.
    """
    pytest.importorskip("c2pa", reason="c2pa-python is not installed")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(text: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Helsinki"),
                x509.NameAttribute(NameOID.COMMON_NAME, text),
            ]
        )

    authority, signer = _new_key(kind), _new_key(kind)
    now = dt.datetime.now(dt.UTC)
    algorithm = None if kind == "ed25519" else hashes.SHA256()

    def begun(subject: x509.Name, issuer: x509.Name, key: Any) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=3))
            .not_valid_after(now + dt.timedelta(days=days))
        )

    def usage(*, signs: bool) -> x509.KeyUsage:
        return x509.KeyUsage(signs, False, False, False, False, not signs, not signs, False, False)

    root = begun(named("Authority"), named("Authority"), authority)
    root = root.add_extension(x509.BasicConstraints(True, 0), True)
    root = root.add_extension(usage(signs=False), True)
    issuer, issuing = (named(name), signer) if self_signed else (named("Authority"), authority)
    leaf = begun(named(name), issuer, signer)
    leaf = leaf.add_extension(x509.BasicConstraints(False, None), True)
    leaf = leaf.add_extension(usage(signs=True), True)
    if for_mail:
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        leaf = leaf.add_extension(purposes, False)
    leaf = leaf.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.public_key()), False
    )
    pem = serialization.Encoding.PEM
    first, last = (
        half.sign(key, algorithm).public_bytes(pem)
        for half, key in ((leaf, issuing), (root, authority))
    )
    locked: Any = serialization.NoEncryption()
    if password is not None:
        locked = serialization.BestAvailableEncryption(password)
    secret = signer.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked)
    folder.mkdir(parents=True, exist_ok=True)
    files = {"chain.pem": first + last, "key.pem": secret, "anchor.pem": last}
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return Papers(*(str(folder / file) for file in files))


def _new_key(kind: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(getattr(ec, kind.upper())())
