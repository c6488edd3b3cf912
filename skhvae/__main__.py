"""``python -m skhvae``."""

import sys

from skhvae.cli import main

if __name__ == "__main__":
    sys.exit(main())
