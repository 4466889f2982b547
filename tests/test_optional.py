"""Optional libraries: found, or asked for by the line that installs them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rsaug.errors import RsaugError
from rsaug.optional import MissingExtra, require


def test_a_library_that_is_there_is_returned() -> None:
    assert require("xml.dom", extra="image") is sys.modules["xml.dom"]


@pytest.mark.parametrize("module", ["no_such_library", "no_such_library.part"])
def test_a_missing_one_says_what_installs_it(module: str) -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'rsaug\[image\]'") as caught:
        require(module, extra="image")
    assert isinstance(caught.value, RsaugError)
    assert isinstance(caught.value, ImportError)
    assert "no_such_library," in str(caught.value)


def test_a_broken_one_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_library.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs") as caught:
        require("broken_library", extra="image")
    assert not isinstance(caught.value, MissingExtra)
