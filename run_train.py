"""Trains a voice or a vocoder: the command `diffsinger-jax train`."""

from diffsinger_jax.cli import runtime, train

if __name__ == "__main__":
    runtime.run(train.main)
