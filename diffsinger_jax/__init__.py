"""DiffSinger, singing voice synthesis by shallow diffusion, in JAX and Flax."""

from pathlib import Path

__version__ = "0.1.0"

_HERE = Path(__file__).resolve().parent
if not (_HERE / "configs").is_dir():
    # A checkout, whose configs/ and data/ stand beside the package; a wheel has them inside it.
    __path__.append(str(_HERE.parent))
