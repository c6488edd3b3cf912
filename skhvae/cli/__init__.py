"""The command line: ``python -m skhvae impute | inspect | evaluate``.

Stands above everything else; nothing knows of it. :mod:`~skhvae.cli._files` reads and writes tables so that what was observed
stays as it is written, :mod:`~skhvae.cli._declarations` reads what a user declares of columns, and each command is a module.
"""

from skhvae.cli._main import main

__all__ = ["main"]
