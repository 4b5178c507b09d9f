"""Sings scores with a trained voice: the command `diffsinger-jax sing`."""

from diffsinger_jax.cli import runtime, sing

if __name__ == "__main__":
    runtime.run(sing.main)
