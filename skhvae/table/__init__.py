"""The DataFrame boundary: the only package that knows how a column is stored.

Everything above it sees three things of a column: which cells are missing, the values as
``float64`` numbers or as scalars, and a way to put new values into the missing cells without
touching the others or the dtype.

Examples
--------
>>> import pandas as pd
>>> from skhvae import table as tables
>>> age = pd.Series([31, None, 28], dtype="Int64", name="age")
>>> missing = tables.missing_cells(age)
>>> tables.storage(age, missing), tables.bounds(age, missing)
('integer', (28, 31))
>>> tables.numbers(age, missing)
array([31., nan, 28.])
>>> tables.fill(age, missing, [29.4]).tolist()
[31, 29, 28]
"""

from skhvae.table._filling import fill
from skhvae.table._frames import (
    as_table,
    in_form_of,
    is_native,
    is_table,
    without_cells,
)
from skhvae.table._reading import (
    bounds,
    granularity,
    label,
    missing_cells,
    numbers,
    scalars,
    storage,
)

__all__ = [
    "as_table",
    "bounds",
    "fill",
    "granularity",
    "in_form_of",
    "is_native",
    "is_table",
    "label",
    "missing_cells",
    "numbers",
    "scalars",
    "storage",
    "without_cells",
]
