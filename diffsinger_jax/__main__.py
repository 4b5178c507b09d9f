"""`python -m diffsinger_jax` is the command `diffsinger-jax`."""

from diffsinger_jax.cli.main import main

if __name__ == "__main__":
    main()
