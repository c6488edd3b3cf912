"""Tuples of strategies: sizes, then directions."""

import pytest
import torch

from skhvae.moo import STRATEGIES, Chain, StackedGradients, Weighting, as_strategy

JACOBIAN = torch.tensor([[4.0, 0.0, 1.0], [-0.6, 0.8, 0.0], [0.0, -0.1, 0.1]], dtype=torch.float64)


def ready(moo):
    strategy = as_strategy(moo)
    strategy.lend(torch.Generator().manual_seed(0))
    return strategy


def shared(moo, jacobian=JACOBIAN):
    return ready(moo).reconcile(StackedGradients(jacobian))[0]


@pytest.mark.parametrize("name", STRATEGIES)
def test_one_alone_is_itself(name):
    torch.testing.assert_close(shared((name,)), shared(name))


@pytest.mark.parametrize("name", STRATEGIES)
def test_after_the_plain_sum_it_is_itself(name):
    torch.testing.assert_close(shared(("sum", name)), shared(name))


@pytest.mark.parametrize("second", [name for name in STRATEGIES if name != "gradnorm"])
def test_the_second_sees_what_the_first_made(second):
    """By hand: gradients of equal norm, then the second strategy on these. GradNorm would follow the
    signs of rounding, since its goal is met already."""
    equal = JACOBIAN / JACOBIAN.norm(dim=1, keepdim=True)
    expected = shared(second, equal)
    expected *= JACOBIAN.sum(0).norm() / expected.norm()
    torch.testing.assert_close(shared(("equal-norm", second)), expected)


def test_order_matters():
    assert not torch.allclose(shared(("equal-norm", "mgda")), shared(("mgda", "equal-norm")))


def test_weights_are_those_of_the_original_gradients():
    direction, weights = ready(("equal-norm", "pcgrad")).reconcile(StackedGradients(JACOBIAN))
    torch.testing.assert_close(weights @ JACOBIAN, direction)


@pytest.mark.parametrize("name", [n for n, s in STRATEGIES.items() if not issubclass(s, Weighting)])
def test_aggregators_come_last(name):
    assert isinstance(as_strategy(("equal-norm", name)), Chain)
    with pytest.raises(TypeError, match="only be the last"):
        as_strategy((name, "equal-norm"))


def test_an_empty_chain_is_refused():
    with pytest.raises(ValueError, match="needs at least one, found none"):
        as_strategy(())


def test_parts_are_reset_together():
    chain = ready(("gradnorm", "gradvac"))
    gradients = StackedGradients(JACOBIAN)
    first, _ = chain.reconcile(gradients)
    later, _ = chain.reconcile(gradients)
    chain.reset()
    chain.lend(torch.Generator().manual_seed(0))
    assert torch.equal(chain.reconcile(gradients)[0], first)
    assert not torch.equal(later, first)


def test_chains_nest():
    nested = shared(("equal-norm", ("mgda", "pcgrad")))
    torch.testing.assert_close(nested, shared(("equal-norm", "mgda", "pcgrad")))
