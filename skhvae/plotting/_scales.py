"""How a column's values stand on an axis: levels side by side, numbers, dates as dates, durations in a unit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skhvae import table as tables
from skhvae.features import Feature
from skhvae.plotting._theme import text, thinned

__all__ = ["Levels", "Numbers", "scale_of"]

_DAY = 86_400 * 10**9
_UNITS = {"days": _DAY, "hours": 3600 * 10**9, "minutes": 60 * 10**9, "seconds": 10**9}
_MIDDLE = (0.02, 0.98)  # quantiles
_WITHOUT_POWERS = (-4, 5)  # of ten, of numbers that are written out
_FEW_COUNTS = 20  # whole numbers that are shown one by one


class Numbers:
    """Numbers as they are.

    Parameters
    ----------
    feature : Feature
    """

    is_ordered = True
    unit: str | None = None

    def __init__(self, feature: Feature):
        self.feature = feature

    @property
    def step(self) -> float:
        """What coordinates are multiples of, 0 if they can be anything."""
        return self.feature.granularity

    @property
    def label(self) -> str:
        """The feature's name, and the unit if there is one."""
        name = text(self.feature.name)
        return name if self.unit is None else f"{name} ({self.unit})"

    def read(self, column: pd.Series) -> np.ndarray:
        """Coordinates, NaN where missing."""
        return tables.numbers(column, tables.missing_cells(column))

    def places(self, values: np.ndarray):
        """The coordinates that values can have, where they are few; None otherwise."""
        low, high = values.min(), values.max()
        if self.step != 1 or high - low > _FEW_COUNTS:
            return None
        return np.arange(low, high + 1)

    def span(self, values: np.ndarray) -> tuple[float, float]:
        """From where to where colours run: but for the ends, of which few would take most of them."""
        low, high = np.quantile(values, _MIDDLE)
        return (low, high) if low < high else (values.min(), values.max())

    def edges(self, low: float, high: float, bins: int) -> np.ndarray:
        """Of equal bins that hold the range, each of them as many of the possible values."""
        if low == high:
            margin = max(0.5, abs(low) * 1e-6)
            return np.linspace(low - margin, high + margin, bins + 1)
        n_values = (high - low) / self.step + 1 if self.step else np.inf
        if n_values > 100 * bins:
            return np.linspace(low, high, bins + 1)
        width = np.ceil(n_values / bins) * self.step
        n_bins = int(np.ceil((high - low + self.step) / width - 1e-9))
        return low - self.step / 2 + width * np.arange(n_bins + 1)

    def prepare(self, axis, most: int = 12) -> None:
        """Label the axis, at so many places at most."""
        from matplotlib.ticker import MaxNLocator, ScalarFormatter

        formatter = ScalarFormatter(useOffset=False)
        formatter.set_powerlimits(_WITHOUT_POWERS)
        axis.set_major_formatter(formatter)
        whole = self.step == 1
        axis.set_major_locator(MaxNLocator(min(most, 5), integer=whole, min_n_ticks=1))


class Durations(Numbers):
    """Durations, in the largest unit that the longest one has more than two of."""

    def __init__(self, feature: Feature):
        super().__init__(feature)
        longest = max(abs(feature.low), abs(feature.high))
        fitting = [unit for unit, size in _UNITS.items() if longest > 2 * size]
        self.unit = fitting[0] if fitting else "seconds"

    @property
    def step(self):
        return self.feature.step / _UNITS[self.unit]

    def read(self, column):
        return super().read(column) / _UNITS[self.unit]

    def places(self, values):
        return None


class Dates(Numbers):
    """Dates, in matplotlib's days since 1970."""

    @property
    def step(self):
        return self.feature.step / _DAY

    def read(self, column):
        return super().read(column) / _DAY

    def places(self, values):
        return None

    def prepare(self, axis, most=12):
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        zone = getattr(self.feature.example.iloc[0], "tzinfo", None)
        locator = AutoDateLocator(tz=zone, minticks=2, maxticks=max(5, min(most, 6)))
        axis.set_major_locator(locator)
        axis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))


class Levels(Numbers):
    """Levels at 0, 1, ..., in the feature's own order; those not seen in fit share the next place."""

    def __init__(self, feature: Feature):
        super().__init__(feature)
        self.is_ordered = feature.type.metric == "rank error"
        levels = () if feature.levels is None else feature.levels
        self._levels = pd.Index(levels, tupleize_cols=False)

    def read(self, column):
        index, levels = pd.Index(tables.scalars(column), tupleize_cols=False), self._levels
        if index.dtype != levels.dtype:
            index, levels = index.astype(object), levels.astype(object)
        codes = levels.get_indexer(index).astype(float)
        codes[codes < 0] = len(levels)
        return np.where(tables.missing_cells(column), np.nan, codes)

    def places(self, values):
        return np.arange(max(len(self._levels), int(values.max()) + 1))

    def span(self, values):
        return 0, max(1, len(self._levels) - 1)

    def name(self, place) -> str:
        """What stands at a place."""
        return text(self._levels[int(place)], 16) if place < len(self._levels) else "(unseen)"

    def shortened(self, places, weights: np.ndarray, most: int) -> tuple[np.ndarray, list[str]]:
        """Which places to show by themselves, at most so many with that of all others, and the names of all.

        Parameters
        ----------
        places : ndarray of shape (n_places,)
        weights : ndarray of shape (n_places,)
            The largest are kept.
        most : int

        Returns
        -------
        kept : int ndarray of shape (n_kept,)
            In order; indices into `places`.
        names : list of str
            One more than kept, if there are others.
        """
        kept = np.arange(len(places))
        if len(places) > most:
            kept = np.sort(np.argsort(-weights, kind="stable")[: most - 1])
        names = [self.name(places[i]) for i in kept]
        if n_others := len(places) - len(kept):
            names.append(f"{n_others} others")
        return kept, names

    def prepare(self, axis, most=12):
        places = np.arange(len(self._levels))
        thinned(axis, places, [self.name(place) for place in places], most)


_BY_STORAGE = {"datetime": Dates, "datetime with time zone": Dates, "timedelta": Durations}


def scale_of(feature: Feature) -> Numbers:
    """The scale of a feature that has an observed cell."""
    kind = _BY_STORAGE.get(feature.storage, Numbers)
    return (Levels if feature.type.finite else kind)(feature)
