"""DiffSinger, singing voice synthesis by shallow diffusion, in JAX and Flax."""

__version__ = "0.1.0"
