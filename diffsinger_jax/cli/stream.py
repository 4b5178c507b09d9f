"""`sing --stream`: writes the sound while it is sung; with `--out -` to standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from diffsinger_jax.cli import sing


def main(arguments: Sequence[str] | None = None) -> int:
    """The flags are those of `sing`."""
    return sing.main(["--stream", *(sys.argv[1:] if arguments is None else arguments)])
