"""Whether the marks of images hold: who signed them, and whether their watermark is in the pixels.

A signature is checked without any request to a server. That its certificate leads to nobody known
is told, not held against it: whether a signer is to be trusted is for the reader to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rsaug.credentials import Credentials, is_signed, read_credentials
from rsaug.optional import MissingExtra
from rsaug.options import SynthOptions
from rsaug.provenance import DIGITAL_SOURCE_TYPE, EDITED_SOURCE_TYPE, read_provenance, read_xmp
from rsaug.raster import read_rgb
from rsaug.rasterfile import without_place
from rsaug.storage import AnyPath
from rsaug.watermark import find, watermark_id


class MarkCheck:
    """Looks at the marks of a run's images, one after another, and remembers who signed.

    Args:
        options: What the run was asked.
        anchors: File of certificates that are trusted to vouch for signers; None for none, and
            then nobody is.
    """

    def __init__(self, options: SynthOptions, anchors: str | None = None) -> None:
        self._options, self._anchors = options, anchors
        self._signed: Counter[tuple[str, str]] = Counter()
        self._strangers: Counter[str] = Counter()
        self._unread = 0
        self._watermarked = 0

    def problems(self, path: AnyPath, properties: Mapping[str, Any]) -> Iterator[str]:
        """What is wrong with the marks of an image.

        Args:
            path: Its file.
            properties: Those of its item.
        """
        yield from self._signature_problems(path, properties)
        yield from self._watermark_problems(path, properties)

    def strangers(self) -> Iterator[str]:
        """Who signed without being vouched for, where anchors are given; no image's own fault."""
        for signer, count in sorted(self._strangers.items()):
            yield f"{signer} signed {count} of the images, and no given anchor vouches for it"

    def notes(self) -> tuple[str, ...]:
        """What was found and is no problem, one line each."""
        vouched = {
            "trusted": "vouched for by a given anchor",
            "valid": "whom no given anchor vouches for",
        }
        notes = [
            f"Signatures that hold, by {signer}, {vouched[state]}: {count}."
            for (signer, state), count in sorted(self._signed.items())
        ]
        if self._unread:
            notes.append(
                f"Signatures not looked at, which takes pip install 'rsaug[c2pa]': {self._unread}."
            )
        if self._watermarked:
            notes.append(f"Watermarks found in the pixels: {self._watermarked}.")
        return tuple(notes)

    def _signature_problems(self, path: AnyPath, properties: Mapping[str, Any]) -> Iterator[str]:
        if not is_signed(path):
            if self._options.sign is not None:
                yield "image: is not signed, which the run was to be"
            return
        try:
            found = read_credentials(path, self._anchors)
        except MissingExtra:
            self._unread += 1
            return
        if found is None or found.state == "invalid":
            why = ", ".join(found.problems) if found else "it cannot be read"
            yield f"image: its signature does not hold ({why})"
            return
        if found.said.get("key") != properties.get("rsaug:key"):
            yield "image: what is signed and its item do not agree on what made it"
        if self._anchors is not None and found.state != "trusted":
            self._strangers[found.signer] += 1
            return
        self._signed[found.signer, found.state] += 1

    def _watermark_problems(self, path: AnyPath, properties: Mapping[str, Any]) -> Iterator[str]:
        name = self._options.watermark
        if name is None:
            return
        if properties.get("rsaug:watermark") != watermark_id(name):
            yield "its item does not name the watermark of the run"
        elif find(read_rgb(path), name).found:
            self._watermarked += 1
        else:
            yield "image: its watermark is not in the pixels"


@dataclass(frozen=True)
class ImageMarks:
    """What a single image bears, wherever it comes from.

    Attributes:
        path: Its file.
        synthetic: Whether tags or XMP packet say that a model made it or a part of it.
        made_by: Model and digest of its weights, by our own tags; empty without them.
        credentials: What its C2PA manifest comes to; None without one.
        watermark: Whether the name that was asked for is in its pixels; None if none was asked for.
        chance: Upper bound on the probability of that by chance.
    """

    path: str
    synthetic: bool
    made_by: str
    credentials: Credentials | None
    watermark: bool | None
    chance: float | None

    @property
    def in_order(self) -> bool:
        """Whether a signature, if there is one, holds, and a watermark that was asked for is in."""
        altered = self.credentials is not None and self.credentials.state == "invalid"
        return not altered and self.watermark is not False

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return asdict(self)

    def to_text(self) -> str:
        """All of it for a reader."""
        lines = [
            f"tags       {'synthetic' if self.synthetic else 'do not say that it is synthetic'}"
            + (f", made by {self.made_by}" if self.made_by else ""),
            f"signature  {_in_words(self.credentials)}",
        ]
        if self.watermark is not None:
            word = "found" if self.watermark else "not found"
            lines.append(f"watermark  {word}; by chance in at most {self.chance:.1g} of images")
        return "\n".join([self.path, *lines])


def look_at_image(
    path: Path, watermark: str | None = None, anchors: str | None = None
) -> ImageMarks:
    """The marks of an image: GeoTIFF, PNG, JPEG or another that `rsaug.raster.open_image` opens.

    Args:
        path: The image.
        watermark: Name to look for in the pixels; None for none.
        anchors: File of certificates that are trusted to vouch for signers.

    Raises:
        InputError: if a file cannot be read.
        MissingExtra: without c2pa-python, for a TIFF file with a manifest.
    """
    with without_place():
        said, xmp = read_provenance(path), read_xmp(path) or ""
    trace = None if watermark is None else find(read_rgb(path), watermark)
    return ImageMarks(
        str(path),
        said is not None or any(term in xmp for term in (DIGITAL_SOURCE_TYPE, EDITED_SOURCE_TYPE)),
        f"{said.model}, weights {said.weights_sha256[:12]}" if said else "",
        _credentials(path, anchors),
        None if trace is None else trace.found,
        None if trace is None else trace.chance,
    )


def _credentials(path: Path, anchors: str | None) -> Credentials | None:
    try:
        return read_credentials(path, anchors)
    except MissingExtra:
        if is_signed(path):
            raise
        return None


def _in_words(found: Credentials | None) -> str:
    if found is None:
        return "none"
    if found.state == "invalid":
        return f"does not hold ({', '.join(found.problems)})"
    when = f", of {found.time}" if found.time else ""
    vouched = "" if found.state == "trusted" else "; no given anchor vouches for it"
    return f"holds, by {found.signer}{when}{vouched}"
