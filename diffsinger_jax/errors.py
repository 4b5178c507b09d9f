"""The one exception for input that a user can mend, and the words of others in its sentence."""

from __future__ import annotations


class InputError(ValueError):
    """What was given, what was expected, what to do: one sentence, shown without a traceback.

    Readers, checks and loaders raise it; the command-line programs print its message to
    standard error and exit with code 2 (see `cli.runtime.run`). Anything else that is
    raised is a bug of ours and keeps its traceback.
    """


def first_line(error: Exception) -> str:
    """What an error of a library says, short enough to be part of a sentence."""
    try:
        said = str(error)
    except Exception:  # zipfile has errors that cannot be printed
        said = ""
    lines = said.strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
