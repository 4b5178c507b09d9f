"""How every command-line program of the project ends: cleanly, or with one sentence and code 2."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path

from diffsinger_jax.errors import InputError


def run(main: Callable[[], int | None]) -> None:
    """Calls `main` and exits: 0, `main`'s own code, or 2 with one sentence for an `InputError`."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # who reads what is printed has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    sys.exit(code or 0)


def remember_compiled_programs() -> None:
    """Lets JAX keep what it compiled in the user's cache folder, for the next start."""
    import jax

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diffsinger_jax"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    # All of it: a start needs dozens of small programs, too, and together they take seconds.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def keep_freed_memory() -> None:
    """Has glibc keep freed memory for the next step; elsewhere it does nothing.

    By default large blocks go back to the system and come again as fresh pages that must be
    cleared: in training on two CPU cores that took 26 % of all processor time, after this 2 %.
    Call it before the first large allocation.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    trim_threshold, mmap_max, arena_max = -1, -4, -8  # their numbers in malloc.h
    mallopt(arena_max, 1)
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, -1)
