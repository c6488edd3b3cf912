"""``python -m skhvae``."""

import sys

from skhvae.cli import main

__all__ = []

if __name__ == "__main__":
    sys.exit(main())
