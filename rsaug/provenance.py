"""What made a file, embedded in the file: said by the writer, read back by anyone.

A synthetic image says so twice: in GDAL's metadata, for tools of the geospatial field, and in an
XMP packet with IPTC's ``DigitalSourceType`` and the AI fields of the IPTC Photo Metadata Standard
2025.1, for everybody else's. Labels carry no such mark: they are measured, not imagined.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self
from xml.sax.saxutils import quoteattr

import numpy as np
import rasterio.errors
from numpy.typing import NDArray

from rsaug import __version__
from rsaug.conditions.stack import SLOTS, ControlStack
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.rasterfile import driver_of, opened, tags_of
from rsaug.storage import AnyPath

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for media made by a trained model."""

EDITED_SOURCE_TYPE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
"""IPTC's term for media of which a trained model made a part, as by inpainting."""

SOFTWARE = f"rsaug {__version__}"

VOLATILE = ("model", "network", "device", "dtype", "acceleration", "versions")
"""What a generator says of itself that a finished tile is kept in spite of: where it ran, and what
its weights, which count by their hash, are called and consist of."""

_KEY_TAG = "RSAUG_KEY"
_HEAD_BYTES = 4 << 20
"""Of a file in a store, more than the tags of a cloud-optimized file take."""
_GENERATED = (
    "Synthetic image, made by a generative model from map data; not a photograph of this place."
)
_EDITED = "Real image, altered by a generative model; what it shows is in part invented."
# Characters that XML 1.0 has no way to write (section 2.2).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Provenance:
    """What made a synthetic image.

    Attributes:
        key: Digest of everything that decides the pixels; see `image_key`.
        model: Name of the model.
        weights_sha256: Digest of its weights.
        seed: Seed of this image.
        variant: Which of the images of its tile it is, from 0.
        prompt: Text the model was given; empty for none.
        software: Name and version of the program.
        source: Name of the real image that was edited; empty for one made from map data alone.
        watermark: What `rsaug.watermark.watermark_id` says of the one in its pixels; empty for
            none.
    """

    key: str
    model: str
    weights_sha256: str
    seed: int
    variant: int
    prompt: str = ""
    software: str = SOFTWARE
    source: str = ""
    watermark: str = ""

    @classmethod
    def of(
        cls,
        description: Mapping[str, object],
        key: str,
        seed: int,
        variant: int,
        source: str = "",
    ) -> Self:
        """The provenance of an image by a generator that describes itself as ``description``."""
        return cls(
            key=key,
            model=str(description.get("model", "unknown")),
            weights_sha256=str(description.get("weights_sha256", "")),
            seed=seed,
            variant=variant,
            prompt=str(description.get("prompt") or ""),
            source=source,
            watermark=str(description.get("watermark") or ""),
        )

    @property
    def source_type(self) -> str:
        """IPTC's term for how the image came to be."""
        return EDITED_SOURCE_TYPE if self.source else DIGITAL_SOURCE_TYPE

    def tags(self) -> dict[str, str]:
        """The provenance as GDAL metadata."""
        tags = {
            "TIFFTAG_SOFTWARE": self.software,
            "TIFFTAG_IMAGEDESCRIPTION": _EDITED if self.source else _GENERATED,
            "RSAUG_SYNTHETIC": "YES",
            "RSAUG_DIGITAL_SOURCE_TYPE": self.source_type,
            "RSAUG_MODEL": self.model,
            "RSAUG_WEIGHTS_SHA256": self.weights_sha256,
            "RSAUG_SEED": str(self.seed),
            "RSAUG_VARIANT": str(self.variant),
            _KEY_TAG: self.key,
        }
        more = {
            "RSAUG_PROMPT": self.prompt,
            "RSAUG_SOURCE": self.source,
            "RSAUG_WATERMARK": self.watermark,
        }
        return tags | {name: text for name, text in more.items() if text}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self | None:
        """What `tags` wrote; None for tags that are not of a synthetic image of ours."""
        if tags.get("RSAUG_SYNTHETIC") != "YES":
            return None
        try:
            return cls(
                key=tags[_KEY_TAG],
                model=tags["RSAUG_MODEL"],
                weights_sha256=tags["RSAUG_WEIGHTS_SHA256"],
                seed=int(tags["RSAUG_SEED"]),
                variant=int(tags["RSAUG_VARIANT"]),
                prompt=tags.get("RSAUG_PROMPT", ""),
                software=tags["TIFFTAG_SOFTWARE"],
                source=tags.get("RSAUG_SOURCE", ""),
                watermark=tags.get("RSAUG_WATERMARK", ""),
            )
        except (KeyError, ValueError):
            return None

    def facts(self) -> dict[str, str | int]:
        """The provenance as JSON; what is empty is left out."""
        return {name: value for name, value in asdict(self).items() if value != ""}

    def xmp(self) -> str:
        """The provenance as an XMP packet (Adobe XMP, part 1: RDF/XML with attributes)."""
        fields = {
            "xmp:CreatorTool": self.software,
            "Iptc4xmpExt:DigitalSourceType": self.source_type,
            "Iptc4xmpExt:AISystemUsed": self.model,
            "Iptc4xmpExt:AISystemVersionUsed": f"sha256:{self.weights_sha256}",
        }
        if self.prompt:
            fields["Iptc4xmpExt:AIPromptInformation"] = self.prompt
        attributes = "\n".join(
            f"    {name}={quoteattr(_NOT_XML.sub('', text))}" for name, text in fields.items()
        )
        return (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
            '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
            ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
            '  <rdf:Description rdf:about=""\n'
            '    xmlns:xmp="http://ns.adobe.com/xap/1.0/"\n'
            '    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"\n'
            f"{attributes}/>\n"
            ' </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
        )


def label_tags(what: str, key: str) -> dict[str, str]:
    """GDAL metadata of labels and control maps: what they are and the key of what made them."""
    return {
        "TIFFTAG_SOFTWARE": SOFTWARE,
        "TIFFTAG_IMAGEDESCRIPTION": what,
        _KEY_TAG: key,
    }


def read_provenance(path: AnyPath | str) -> Provenance | None:
    """What made an image; None when it does not say that it is synthetic and by what.

    Raises:
        InputError: if the file cannot be read as a raster.
    """
    return Provenance.from_tags(_read_tags(path))


def read_key(path: AnyPath | str) -> str | None:
    """Key of what a file of ours was made from; None for another file or none at all."""
    try:
        return _read_tags(path).get(_KEY_TAG)
    except InputError:
        return None


def read_xmp(path: AnyPath | str) -> str | None:
    """The XMP packet of an image; None where there is none.

    Raises:
        InputError: if the file cannot be read as a raster.
    """
    # rasterio takes the packet for name and value, up to its first "=" and after it.
    found = _read_tags(path, ns="xml:XMP")
    return "".join(f"{name}={value}" for name, value in found.items()) or None


def _read_tags(path: AnyPath | str, ns: str | None = None) -> dict[str, str]:
    driver = driver_of(path)
    if driver is None:
        raise InputError(f"{path} cannot be read as a raster; check the name and the format.")
    try:
        with opened(path, driver, _HEAD_BYTES) as src:
            return tags_of(src, ns)
    except rasterio.errors.RasterioIOError as error:
        raise InputError(f"{path} cannot be read as a raster ({error}).") from error


def controls_key(tile: Tile, controls: ControlStack) -> str:
    """SHA-256 of a tile's place and grid and of the control maps that are present."""
    digest = hashlib.sha256()
    place = [tile.crs.to_wkt(), list(tile.transform)[:6], tile.shape, controls.present]
    digest.update(json.dumps(place).encode())
    for name, present in zip(SLOTS, controls.present, strict=True):
        if present:
            digest.update(controls.slot(name).tobytes())
    return digest.hexdigest()


def image_key(
    controls: str,
    seed: int,
    description: Mapping[str, object],
    regions: Mapping[str, NDArray[np.float32]] | None = None,
) -> str:
    """SHA-256 of what decides an image: controls, seed, and the generator but for `VOLATILE`.

    Args:
        controls: `controls_key` of the tile.
        seed: Seed of the image.
        description: What the generator says of itself.
        regions: Where controls hold, by name, if not everywhere.
    """
    stable = {name: value for name, value in description.items() if name not in VOLATILE}
    where = {
        name: hashlib.sha256(region.tobytes()).hexdigest()
        for name, region in (regions or {}).items()
    }
    text = json.dumps([controls, seed, stable, *([where] if where else [])], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
