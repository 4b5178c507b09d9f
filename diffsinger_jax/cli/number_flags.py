"""Numbers that several commands take as flags."""

from __future__ import annotations

import argparse


def depth(text: str) -> int | float:
    """Where sampling starts: a number of a diffusion's steps, or 1 - t of a flow.

    Raises:
      argparse.ArgumentTypeError: if it is below 0 or without an end.
    """
    if not 0 <= (value := float(text)) < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 on")
    return int(value) if value == int(value) else value


depth.__name__ = "number"  # argparse says it where a text is none
