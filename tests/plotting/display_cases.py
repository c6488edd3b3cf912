"""Every Display made of a fitted imputer, and how many axes it takes."""

from dataclasses import dataclass

from skhvae.plotting import (
    FeatureErrorDisplay,
    GradientConflictDisplay,
    ImputationDisplay,
    LatentDisplay,
    MarginalsDisplay,
    TrainingDisplay,
)

__all__ = ["DISPLAYS", "Recipe"]


@dataclass
class Recipe:
    """from_estimator: (imputer, X, ax=None) -> display; n_axes: of the axes that it takes; display: its class."""

    display: type
    from_estimator: object
    n_axes: int


def made(display, n_axes, *, of_table=True, **options):
    def from_estimator(imputer, X, ax=None):
        positional = (imputer, X) if of_table else (imputer,)
        return display.from_estimator(*positional, ax=ax, **options)

    return Recipe(display, from_estimator, n_axes)


DISPLAYS = {
    "feature errors": made(FeatureErrorDisplay, 1),
    "training": made(TrainingDisplay, 5, of_table=False),
    "gradient conflict": made(GradientConflictDisplay, 3, of_table=False),
    "marginals": made(MarginalsDisplay, 4, n_samples=30, features=4, random_state=0),
    "imputation": made(ImputationDisplay, 3, n_draws=2, features=2),
    "latent": made(LatentDisplay, 1),
}
