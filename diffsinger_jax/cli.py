"""How every command-line program of the project ends: cleanly, or with one sentence and code 2."""

from __future__ import annotations

import sys
from collections.abc import Callable

from diffsinger_jax.errors import InputError


def run(main: Callable[[], int | None]) -> None:
    """Calls `main` and exits: 0, `main`'s own code, or 2 with one sentence for an `InputError`."""
    try:
        code = main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    sys.exit(code or 0)
