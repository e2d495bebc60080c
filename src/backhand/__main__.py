"""`python -m backhand` is the `backhand` command."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
