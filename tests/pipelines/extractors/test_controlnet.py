"""controlnet-aux: its detectors on random weights in a folder as it expects one."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from rsaug.errors import InputError
from rsaug.pipelines.extractors.controlnet import ControlnetAux

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    hed = pytest.importorskip("controlnet_aux.hed", exc_type=ImportError)
    mlsd = pytest.importorskip("controlnet_aux.mlsd.models.mbv2_mlsd_large", exc_type=ImportError)


@pytest.fixture(scope="module")
def annotators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights, random."""
    folder = tmp_path_factory.mktemp("annotators")
    torch.manual_seed(0)
    torch.save(hed.ControlNetHED_Apache2().state_dict(), folder / "ControlNetHED.pth")
    torch.save(mlsd.MobileV2_MLSD_Large().state_dict(), folder / "mlsd_large_512_fp32.pth")
    return folder


@pytest.mark.parametrize("slot", ["hed", "mlsd"])
def test_maps_have_the_size_of_the_image(annotators: Path, slot: str) -> None:
    extractor = ControlnetAux(slot, str(annotators))
    assert extractor.why_not() is None
    assert not extractor.automatic
    rgb = np.random.default_rng(0).integers(0, 256, (3, 70, 100)).astype(np.uint8)
    made = np.asarray(extractor(rgb, None))
    assert made.shape == (70, 100)
    assert made.dtype == np.float32
    assert 0 <= made.min() <= made.max() <= 1
    if slot == "mlsd":
        assert set(np.unique(made)) <= {0, 1}
    else:
        assert made.std() > 0


def test_it_says_which_file_is_missing(annotators: Path, tmp_path: Path) -> None:
    rgb = np.zeros((3, 64, 64), np.uint8)
    with pytest.raises(InputError, match=r"holds no dpt_hybrid-midas-501f0c75\.pt, the depth"):
        ControlnetAux("depth", str(annotators))(rgb, None)
    (tmp_path / "ControlNetHED.pth").write_text("hello")
    with pytest.raises(InputError, match="hed weights of controlnet-aux cannot be had"):
        ControlnetAux("hed", str(tmp_path))(rgb, None)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(tmp_path / "harm"),)  # type: ignore[return-value]

    torch.save({"harm": Harm()}, tmp_path / "ControlNetHED.pth")
    with pytest.raises(InputError, match="cannot be had"):
        ControlnetAux("hed", str(tmp_path))(np.zeros((3, 64, 64), np.uint8), None)
    assert not (tmp_path / "harm").exists()
