"""CUDA graphs: a step recorded once and run again by the device itself.

A training step is hundreds of kernels, most of which take less time than the host needs to launch them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["Replay", "record_graph"]

_WARM_UP = 3  # calls after which the step is recorded: by then, all that it needs has been made
_ASIDE = 2  # steps on the stream that records, for the libraries to make what they need there
# Calls at which a replay may prove to do the same. More than one, because rounding can turn a step round:
# GradNorm, say, goes by the signs of differences that it brings to zero.
_CHANCES = 3
# How far a replay may be from the step itself, relative to what the step changes. Rounding differs by
# little; a replay that draws other numbers, or reads other rows, by as much as the step itself.
_TOLERANCE = 0.05


def record_graph(step: Callable[[], None], generator: torch.Generator) -> Callable[[], None]:
    """The step as a CUDA graph; what is returned replays it. Runs the step twice on the way.

    Parameters
    ----------
    step : callable
        On a CUDA device; asks it for nothing.
    generator : torch.Generator
        Of that device; a replay draws on from where it stands.

    Returns
    -------
    callable
    """
    aside = torch.cuda.Stream(generator.device)
    aside.wait_stream(torch.cuda.current_stream(generator.device))
    with torch.cuda.stream(aside):  # left again too if the recording breaks off
        for _ in range(_ASIDE):
            step()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(generator)
        with torch.cuda.graph(graph, stream=aside):
            step()  # is noted, not done
    return graph.replay


class Replay:
    """Runs a step, and replays a recording of it once it has proved to do the same.

    Neither recording nor proving leaves a trace: whatever happens, every call is one step. If either
    fails, the step itself is run from then on, and a warning says why.

    Parameters
    ----------
    step : callable
        Changes nothing but the contents of tensors.
    state : callable
        Returns the tensors that it changes, by kind; complete after its first call.
    generator : torch.Generator
        Where all of its randomness comes from.
    record : callable, optional
        (step, generator) -> a function that does what `step` did, with what lies in the tensors then.
    """

    def __init__(
        self,
        step: Callable[[], None],
        state: Callable[[], dict[str, list[Tensor]]],
        generator: torch.Generator,
        record: Callable[..., Callable[[], None]] = record_graph,
    ):
        self._step, self._state, self._generator = step, state, generator
        self._record, self._replay = record, None
        self._run, self._n_calls = step, 0

    def __call__(self) -> None:
        self._n_calls += 1
        try:
            if self._n_calls == _WARM_UP + 1:
                with self._without_trace():
                    self._replay = self._record(self._step, self._generator)
            elif self._replay is not None and self._run is not self._replay:
                # Another call than that of the recording, or what was recorded as a constant would pass.
                differing = self._differing()
                if differing is None:
                    self._run = self._replay
                elif self._n_calls == _WARM_UP + 1 + _CHANCES:
                    raise ArithmeticError(f"a replay differs from the step in its {differing}.")
        except Exception as error:
            self._replay = None
            warnings.warn(
                f"Training goes on without CUDA graphs, at the speed of launching every kernel: "
                f"{type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
        self._run()

    def _differing(self) -> str | None:
        """The kind of tensors in which a replay differs from the step, or None."""
        before = _copies(self._state())
        with self._without_trace():
            self._step()
            expected = _copies(self._state())
        with self._without_trace():
            self._replay()
            found = _copies(self._state())
        for kind in before:
            distance = _distance(found[kind], expected[kind])
            if not distance <= _TOLERANCE * _distance(expected[kind], before[kind]):
                return kind
        return None

    @contextmanager
    def _without_trace(self) -> Iterator[None]:
        """What happens inside leaves the state as it was."""
        saved, drawn = _copies(self._state()), self._generator.get_state()
        try:
            yield
        finally:
            for kind, tensors in self._state().items():
                for tensor, copy in zip(tensors, saved[kind], strict=True):
                    tensor.copy_(copy)
            self._generator.set_state(drawn)


def _copies(state: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    return {kind: [tensor.clone() for tensor in tensors] for kind, tensors in state.items()}


def _distance(some: list[Tensor], others: list[Tensor]) -> float:
    """Euclidean, all tensors taken together; equal where both are NaN."""
    total = 0.0
    for a, b in zip(some, others, strict=True):
        a, b = a.double(), b.double()
        same = (a == b) | (a.isnan() & b.isnan())
        total += torch.where(same, 0, a - b).square().sum().item()
    return total**0.5
