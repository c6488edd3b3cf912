"""``inspect``: what the columns are taken for, and what is missing. Trains nothing."""

from __future__ import annotations

from skhvae.cli._options import add_table_options, read_table
from skhvae.schema import infer_schema
from skhvae.table import as_table, missing_cells

__all__ = ["add_options", "run"]


def add_options(parser) -> None:
    """Say what the command takes."""
    add_table_options(parser)


def run(args, say) -> None:
    """Print the schema."""
    table = read_table(args)
    data = as_table(table.data)
    missing = {name: missing_cells(column) for name, column in data.items()}
    share = sum(cells.mean() for cells in missing.values()) / len(missing)
    complete = ~sum(missing.values()).astype(bool)
    left = len(table.columns) - data.shape[1]
    print(
        f"{args.table}: {len(data):,} rows, {data.shape[1]} columns"
        + (f" and {left} ignored" if left else "")
        + f"; {share:.1%} of the cells are missing, {int(complete.sum()):,} rows are complete"
    )
    print(infer_schema(data, table.feature_types))
