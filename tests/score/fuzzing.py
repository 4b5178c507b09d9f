"""What is left of a good file after a bad day is read, or refused by one sentence."""

import contextlib
import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.reader import read_score

EXAMPLES = int(os.environ.get("DIFFSINGER_FUZZ", "400"))
"""Of each kind of file; 3000 before a release."""

PIECES = st.one_of(
    st.binary(max_size=6),
    st.sampled_from([b"0", b"-1", b"99999999", b"1e9", b"nan", b"<", b">", b'"', b"\0", b"\xff"]),
)
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 40), PIECES), min_size=1, max_size=6
)  # (where, how many bytes go, what comes)


def fuzz(path: Path, examples: int) -> None:
    """Reads the file, which is good, and then that many broken forms of it."""
    content = path.read_bytes()
    assert read_score(path).duration_sec > 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(EDITS)
    def broken(edits):
        data = content
        for where, gone, come in edits:
            at = int(where * len(data))
            data = data[:at] + come + data[at + gone :]
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            score = read_score(path)
            assert score.duration_sec <= 4 * 3600 + 1
            assert all(n.duration_sec > 0 for piece in score.pieces for n in piece.notes)

    broken()
