"""What these tests need to be installed, and the folders that they read."""

from __future__ import annotations

from withtorchgeo import pytest_pycollect_makemodule

__all__ = ["pytest_pycollect_makemodule"]
