"""What images are given besides tags, if it is asked for: a watermark and a signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rsaug.credentials import Signer, is_signed
from rsaug.errors import OutputError
from rsaug.files import write_whole
from rsaug.grid import Tile
from rsaug.provenance import Provenance
from rsaug.raster import encode_cog
from rsaug.storage import AnyPath, read
from rsaug.watermark import mark, watermark_id


@dataclass(frozen=True, eq=False)
class Marks:
    """How images are marked.

    Attributes:
        watermark: Name that is written into the pixels; None for none.
        signer: Who signs the files; None for nobody.
    """

    watermark: str | None = None
    signer: Signer | None = None

    @classmethod
    def of(
        cls,
        watermark: str | None = None,
        sign: str | None = None,
        sign_key: str | None = None,
        timestamp_url: str | None = None,
    ) -> Self:
        """The marks that options ask for; see `rsaug.options.SynthOptions`.

        Raises:
            InputError: if nothing can be signed with the certificate and the key.
            MissingExtra: if something is to be signed, without c2pa-python.
        """
        if sign is None or sign_key is None:
            return cls(watermark)
        return cls(watermark, Signer.load(sign, sign_key, timestamp_url))

    def described(self, description: Mapping[str, object]) -> dict[str, object]:
        """What a generator says of itself, and the watermark, which decides pixels as well."""
        if self.watermark is None:
            return dict(description)
        return {**description, "watermark": watermark_id(self.watermark)}

    def marked(self, rgb: NDArray[np.uint8], tile: Tile | None) -> NDArray[np.uint8]:
        """An image with the watermark in its pixels, if there is one, uint8 (3, rows, cols)."""
        if self.watermark is None:
            return rgb
        row, col = (0, 0) if tile is None else (tile.row, tile.col)
        rows, cols = rgb.shape[1:]
        return mark(rgb, self.watermark, row * rows, col * cols)

    def write(
        self,
        path: AnyPath,
        rgb: NDArray[np.uint8],
        tile: Tile | None,
        provenance: Provenance,
        descriptions: Sequence[str] | None = None,
    ) -> None:
        """Write an image, marked: as `rsaug.raster.write_cog`, with the provenance as its tags.

        Raises:
            InputError: if the image does not fit the tile.
            OutputError: if it cannot be signed or written.
        """
        content = encode_cog(
            self.marked(rgb, tile),
            tile,
            descriptions=descriptions,
            tags=provenance.tags(),
            xmp=provenance.xmp(),
        )
        if self.signer is not None:
            content = self.signer.sign(content, provenance, path.name)
        write_whole(path, content)

    def sign(self, path: AnyPath, provenance: Provenance) -> None:
        """Sign an image of one tile that is there, where it is to be signed and is not.

        Raises:
            OutputError: if it cannot be signed or written; the file is then as it was.
        """
        if self.signer is None or not self.lack(path):
            return
        try:
            content = read(path)
        except OSError as error:
            raise OutputError(f"{path} could not be signed ({error.strerror}).") from error
        write_whole(path, self.signer.sign(content, provenance, path.name))

    def sign_large(self, path: Path, provenance: Provenance, name: str) -> None:
        """Sign an image on the disk, of any size, where it is to be signed; see `sign`.

        Args:
            path: The image.
            provenance: What made it.
            name: What it will be called.
        """
        if self.signer is not None:
            self.signer.sign_file(path, provenance, name)

    def lack(self, path: AnyPath) -> bool:
        """Whether an image is there that is yet to be signed."""
        if self.signer is None:
            return False
        try:
            return not is_signed(path)
        except OSError:
            return False
