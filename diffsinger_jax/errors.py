"""The one exception for input that a user can mend."""

from __future__ import annotations


class InputError(ValueError):
    """What was given, what was expected, what to do: one sentence, shown without a traceback.

    Readers, checks and loaders raise it; the command-line programs print its message to
    standard error and exit with code 2 (see `diffsinger_jax.cli.run`). Anything else that is
    raised is a bug of ours and keeps its traceback.
    """
