"""`python -m cenote` and the `cenote` command."""

from cenote.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
