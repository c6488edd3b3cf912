"""Pictures of a fitted imputer, in the manner of scikit-learn's Displays; they take matplotlib.

A Display is made by ``from_estimator``, or from plain data, holds what it shows, and can be drawn again by
``plot``, into axes of your own if you like. This package stands above the imputer, and asks it by its public
methods and attributes alone.

Examples
--------
>>> import matplotlib.pyplot as plt
>>> from skhvae import HeterogeneousVAEImputer
>>> from skhvae.datasets import make_heterogeneous
>>> from skhvae.plotting import TrainingDisplay
>>> table = make_heterogeneous(200, random_state=0).data
>>> display = TrainingDisplay.from_estimator(HeterogeneousVAEImputer(max_iter=2, random_state=0).fit(table))
>>> len(display.history), type(display.figure_).__name__
(2, 'Figure')
>>> plt.close(display.figure_)
"""

from skhvae.plotting._feature_error import FeatureErrorDisplay
from skhvae.plotting._gradient_conflict import GradientConflictDisplay
from skhvae.plotting._imputation import ImputationDisplay
from skhvae.plotting._latent import LatentDisplay
from skhvae.plotting._marginals import MarginalsDisplay
from skhvae.plotting._training import TrainingDisplay

__all__ = [
    "FeatureErrorDisplay",
    "GradientConflictDisplay",
    "ImputationDisplay",
    "LatentDisplay",
    "MarginalsDisplay",
    "TrainingDisplay",
]
