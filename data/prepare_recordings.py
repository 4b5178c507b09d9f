"""The command `diffsinger-jax prepare-recordings`, for a checkout that is not installed, too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from diffsinger_jax.cli import prepare_recordings, runtime  # noqa: E402

if __name__ == "__main__":
    runtime.run(prepare_recordings.main)
