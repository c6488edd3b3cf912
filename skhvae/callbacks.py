"""scikit-learn's callbacks, which it has from version 1.9 on: fit is their task, its epochs the subtasks."""

from __future__ import annotations

from collections.abc import Callable

from skhvae.models import VAE
from skhvae.run import Watcher

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # an older version calls nobody, and nothing else has to know

    class _NoContext:
        def subcontext(self, **about):
            return self

        def call_on_fit_task_begin(self, **about):
            return self

        def call_on_fit_task_end(self, **about):
            return False

    class CallbackSupportMixin:
        """An estimator without callbacks."""

        def _init_callback_context(self, **about):
            return _NoContext()

    def with_callbacks(method):
        """The method itself."""
        return method


__all__ = ["CallbackSupportMixin", "FitTask", "with_callbacks"]


class FitTask(Watcher):
    """Tells the callbacks of an estimator how its fit gets on.

    Parameters
    ----------
    estimator : CallbackSupportMixin
        The one that the callbacks were given to.
    X, y, sample_weight
        As they were given to its fit.

    Attributes
    ----------
    attributes : callable
        (model, history) -> the attributes that make the estimator what it would be if training had ended
        with this model. Called where a callback asks for such an estimator.
    """

    attributes: Callable[[VAE, list[dict]], dict]

    def __init__(self, estimator, X, y, sample_weight):
        self._open = estimator._init_callback_context
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._given = dict(estimator=estimator, X=X, y=y, metadata=metadata)
        self._fit = self._epoch = None

    def begin(self, n_epochs: int) -> None:
        """The first epoch begins the fit: how many there can be is known only then."""
        if self._fit is None:
            self._fit = self._open(max_subtasks=n_epochs)
            self._fit.call_on_fit_task_begin(**self._given)
        self._epoch = self._fit.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._given)

    def end(self, model: Callable[[], VAE], history: list[dict]) -> bool:
        return self._epoch.call_on_fit_task_end(
            **self._given,
            reconstruction_attributes=lambda: self.attributes(model(), history),
        )

    def close(self, attributes: dict) -> None:
        """Fit has ended, and given the estimator these attributes."""
        if self._fit is None:  # there was nothing to learn
            self._fit = self._open()
            self._fit.call_on_fit_task_begin(**self._given)
        self._fit.call_on_fit_task_end(**self._given, reconstruction_attributes=attributes)
