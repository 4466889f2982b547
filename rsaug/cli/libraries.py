"""Libraries that have bars and remarks of their own, which are no news to who wants images."""

from __future__ import annotations


def hush_diffusers() -> None:
    """Keep diffusers from drawing bars and from remarks; its errors stay."""
    from diffusers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
