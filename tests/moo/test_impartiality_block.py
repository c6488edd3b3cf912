"""The impartiality block against one plain backward pass for each feature."""

import copy

import pytest
import torch
from cuda_device import needs_cuda, waiting_raises
from torch.nn.functional import linear

from skhvae.moo import (
    STRATEGIES,
    HeadLayout,
    PackedGradients,
    StackedGradients,
    StatefulWeighting,
    Sum,
    _gradients,
    as_strategy,
    feature_gramian,
    feature_jacobian,
    impartial_fork,
    impartial_linear,
)

WIDTH = 6
# (n_features, n_parameters) groups; leading dimensions of h; which of the two exact forms is cheaper
LAYOUTS = {
    "one feature": ([(1, 1)], (4,), "by parameter"),
    "pairs": ([(5, 2)], (64,), "by parameter"),
    "mixed": ([(3, 2), (1, 7), (2, 1)], (64,), "by parameter"),
    "mixed, posterior points": ([(3, 2), (1, 7), (2, 1)], (5, 16), "by parameter"),
    "many levels": ([(2, 3), (1, 300), (3, 1)], (16,), "by feature"),
    "many levels, posterior points": ([(1, 2), (2, 90)], (2, 3, 4), "by feature"),
    "one row": ([(2, 2), (1, 3)], (), "by feature"),
}


class Problem:
    """Random heads on a random h, and a loss that is a sum over features."""

    def __init__(self, layout, without_gradient=()):
        groups, leading, self.cheaper = LAYOUTS[layout]
        generator = torch.Generator().manual_seed(1)

        def normal(*shape):
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        self.layout = HeadLayout(groups)
        n_features, n_parameters = self.layout.n_features, self.layout.n_parameters
        self.h = normal(*leading, WIDTH)
        self.weight, self.bias = normal(n_parameters, WIDTH), normal(n_parameters)
        self.size = 10 ** torch.linspace(-2, 2, n_features).double()
        self.size[list(without_gradient)] = 0

    def losses(self, packed):
        """One loss a feature, non-linear in all its parameters and rows."""
        parts = [
            torch.sin(group + group.mean(-1, keepdim=True)).sum(-1)
            for group in self.layout.split(packed)
        ]
        return (torch.cat(parts, dim=-1) * self.size).flatten(0, -2).mean(0)

    def gradients(self, heads, of=None):
        """Gradients for h, weight and bias of the loss (of one feature)."""
        leaves = [x.clone().requires_grad_() for x in (self.h, self.weight, self.bias)]
        losses = self.losses(heads(*leaves)[None])
        return torch.autograd.grad(losses.sum() if of is None else losses[of], leaves)

    def reference_jacobian(self):
        """The features' gradients at h by a backward pass each."""
        rows = range(self.layout.n_features)
        return torch.stack([self.gradients(linear, of=d)[0].flatten() for d in rows])

    def impartial(self, strategy):
        return lambda *leaves: impartial_linear(*leaves, self.layout, strategy)


@pytest.fixture(params=LAYOUTS)
def problem(request):
    return Problem(request.param)


# With more features than two, these draw.
DRAWN = {"pcgrad", "gradvac", "random"}


def ready(name, seed=0):
    strategy = as_strategy(name)
    strategy.lend(torch.Generator().manual_seed(seed))
    return strategy


def close(actual, expected, tolerance=1e-12):
    scale = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("strategy", [None, Sum()])
def test_sum_is_plain_backpropagation(problem, strategy):
    for ours, plain in zip(
        problem.gradients(problem.impartial(strategy)), problem.gradients(linear), strict=True
    ):
        close(ours, plain)


@pytest.mark.parametrize("strategy", [None, *STRATEGIES])
def test_forward_is_a_linear_layer(problem, strategy):
    heads = problem.impartial(strategy and ready(strategy))
    leaves = problem.h, problem.weight, problem.bias
    assert torch.equal(heads(*leaves), linear(*leaves))


@pytest.mark.parametrize("name", STRATEGIES)
def test_heads_keep_their_own_gradients(problem, name):
    ours = problem.gradients(problem.impartial(ready(name)))
    plain = problem.gradients(linear)
    for own, expected in zip(ours[1:], plain[1:], strict=True):
        close(own, expected)


@pytest.mark.parametrize("name", STRATEGIES)
def test_shared_gradient_is_the_strategys(problem, name):
    jacobian = problem.reference_jacobian()
    expected, _ = ready(name).reconcile(StackedGradients(jacobian))
    shared = problem.gradients(problem.impartial(ready(name)))[0]
    assert shared.shape == problem.h.shape
    close(shared.flatten(), expected, 1e-10)


def test_equal_norm_spelt_out(problem):
    jacobian = problem.reference_jacobian()
    direction = sum(row / row.norm() for row in jacobian)
    expected = direction / direction.norm() * jacobian.sum(0).norm()
    close(problem.gradients(problem.impartial(ready("equal-norm")))[0].flatten(), expected)


@pytest.mark.parametrize("name", STRATEGIES)
def test_features_without_gradient(name):
    """They change nothing: the others' reconciled gradient is that of a model without them."""
    idle = Problem("mixed", without_gradient=[1, 3, 5])
    jacobian = idle.reference_jacobian()[[0, 2, 4]]
    expected, _ = ready(name).reconcile(StackedGradients(jacobian))
    shared = idle.gradients(idle.impartial(ready(name)))[0].flatten()
    if name in DRAWN:  # other numbers are drawn; the gradient still is one of these features'
        solution = torch.linalg.lstsq(jacobian.T, shared).solution
        close(solution @ jacobian, shared)
    else:
        close(shared, expected, 1e-10)


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_feature_has_a_gradient(name):
    idle = Problem("mixed", without_gradient=range(6))
    for gradient in idle.gradients(idle.impartial(ready(name))):
        assert not gradient.any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gramian_by_its_cheaper_form(layout, monkeypatch):
    """Both exact forms equal one backward pass a feature; which one is taken follows from the sizes."""
    problem = Problem(layout)
    packed = linear(problem.h, problem.weight, problem.bias).requires_grad_()
    (grad,) = torch.autograd.grad(problem.losses(packed[None]).sum(), packed)
    grad = grad.reshape(-1, problem.layout.n_parameters)
    expected = problem.reference_jacobian()
    close(feature_jacobian(grad, problem.weight, problem.layout), expected)

    calls = []
    by_feature = _gradients.feature_jacobian
    monkeypatch.setattr(
        _gradients, "feature_jacobian", lambda *args: calls.append(1) or by_feature(*args)
    )
    gramian = feature_gramian(grad, problem.weight, problem.layout)
    close(gramian, expected @ expected.T)
    assert bool(calls) == (problem.cheaper == "by feature")


def test_gradient_is_numerically_right():
    problem = Problem("mixed")
    leaves = [x[:3].clone().requires_grad_() for x in (problem.h,)]
    leaves += [x.clone().requires_grad_() for x in (problem.weight, problem.bias)]
    heads = problem.impartial(Sum())
    assert torch.autograd.gradcheck(lambda *x: problem.losses(heads(*x)[None]), leaves)


def test_strategy_is_asked_only_where_gradients_are_shared():
    def refuse(gramian):
        raise AssertionError("nothing is shared")

    problem = Problem("mixed")
    weight = problem.weight.clone().requires_grad_()
    packed = impartial_linear(problem.h, weight, problem.bias, problem.layout, as_strategy(refuse))
    problem.losses(packed[None]).sum().backward()
    assert weight.grad.any()


def test_float32_stays_float32():
    problem = Problem("mixed")
    h = problem.h.float().requires_grad_()
    packed = impartial_linear(
        h, problem.weight.float(), problem.bias.float(), problem.layout, ready("equal-norm")
    )
    problem.losses(packed[None]).sum().backward()
    assert h.grad.dtype == torch.float32
    close(h.grad.double(), problem.gradients(problem.impartial(ready("equal-norm")))[0], 1e-5)


@pytest.mark.parametrize(
    "name", [name for name, s in STRATEGIES.items() if not issubclass(s, StatefulWeighting)]
)
def test_a_step_leaves_nothing_behind(name):
    """No tensor stays on strategy or layout: nothing to move between devices or to leak."""
    problem, strategy = Problem("mixed"), ready(name)
    before = copy.copy(vars(strategy)), copy.copy(vars(problem.layout))
    problem.gradients(problem.impartial(strategy))
    assert (vars(strategy), vars(problem.layout)) == before


def test_layout():
    layout = HeadLayout([(2, 2), (1, 3)])
    assert (layout.n_features, layout.n_parameters) == (3, 7)
    assert layout.owner.tolist() == [0, 0, 1, 1, 2, 2, 2]
    packed = torch.arange(14).view(2, 7)
    pairs, triple = layout.split(packed)
    assert pairs.tolist() == [[[0, 1], [2, 3]], [[7, 8], [9, 10]]]
    assert triple.tolist() == [[[4, 5, 6]], [[11, 12, 13]]]
    assert pairs.data_ptr() == packed.data_ptr()  # views: nothing is copied


class Rows:
    """Two ways to the same gradients: through packed heads, and collected one by one."""

    def __init__(self, problem):
        packed = linear(problem.h, problem.weight, problem.bias).requires_grad_()
        (grad,) = torch.autograd.grad(problem.losses(packed[None]).sum(), packed)
        grad = grad.reshape(-1, problem.layout.n_parameters)
        self.packed = PackedGradients(grad, problem.weight, problem.layout, problem.h.shape)
        self.stacked = StackedGradients(problem.reference_jacobian().view(-1, *problem.h.shape))


def test_packed_and_stacked_gradients_are_the_same(problem):
    rows, weights = Rows(problem), torch.linspace(-1, 2, problem.layout.n_features).double()
    close(rows.packed.gramian, rows.stacked.gramian)
    close(rows.packed.jacobian, rows.stacked.jacobian)
    close(rows.packed.combined(weights), rows.stacked.combined(weights))
    for ours, theirs in ((rows.packed, rows.stacked), (rows.stacked, rows.packed)):
        close(
            ours.scaled(weights).gramian,
            theirs.scaled(weights).jacobian @ ours.scaled(weights).jacobian.T,
        )
    assert rows.packed.combined(weights).shape == problem.h.shape


@pytest.mark.parametrize("strategy", [None, "sum", "equal-norm", "imtl-g", "graddrop"])
def test_fork_is_the_general_block(problem, strategy):
    """Heads of any form; these are packed ones taken apart."""

    def forked(h, weight, bias):
        branches = impartial_fork(h, problem.layout.n_features, strategy and ready(strategy))
        parts = [
            linear(branches[d], weight[problem.layout.owner == d], bias[problem.layout.owner == d])
            for d in range(problem.layout.n_features)
        ]
        return torch.cat(parts, dim=-1)

    packed = problem.gradients(problem.impartial(strategy and ready(strategy)))
    for ours, expected in zip(problem.gradients(forked), packed, strict=True):
        close(ours, expected, 1e-9)


def test_no_bias():
    problem = Problem("mixed")
    problem.bias = torch.zeros_like(problem.bias)
    expected = problem.gradients(problem.impartial(ready("imtl-g")))

    def without(h, weight, bias):
        return impartial_linear(h, weight, None, problem.layout, ready("imtl-g")) + 0 * bias

    for ours, theirs in zip(problem.gradients(without)[:2], expected[:2], strict=True):
        close(ours, theirs)


def test_parameters_held_constant_get_nothing():
    problem = Problem("mixed")
    h = problem.h.clone().requires_grad_()
    packed = impartial_linear(h, problem.weight, problem.bias, problem.layout, ready("equal-norm"))
    problem.losses(packed[None]).sum().backward()
    close(h.grad, problem.gradients(problem.impartial(ready("equal-norm")))[0])


def on_cuda(problem):
    problem.h, problem.weight, problem.bias, problem.size = (
        x.cuda() for x in (problem.h, problem.weight, problem.bias, problem.size)
    )
    problem.layout.to("cuda")
    return problem


@needs_cuda
@pytest.mark.parametrize("name", STRATEGIES)
def test_cuda_equals_cpu(name):
    problem = Problem("mixed")
    expected = problem.gradients(problem.impartial(as_strategy(name)))[0]
    actual = on_cuda(problem).gradients(problem.impartial(as_strategy(name)))[0].cpu()
    if name in DRAWN or name == "graddrop":  # another device draws other numbers
        assert actual.norm().item() == pytest.approx(expected.norm().item())
    else:
        close(actual, expected, 1e-7)


@needs_cuda
@pytest.mark.parametrize(
    "name", ["sum", "equal-norm", "gradnorm", "nsgd", "imtl-g", "aligned-mtl", "random"]
)
def test_closed_forms_do_not_wait_for_the_device(name):
    problem = on_cuda(Problem("mixed"))
    strategy = as_strategy(name)
    strategy.lend(torch.Generator("cuda").manual_seed(0))
    gradients = Rows(problem).packed
    strategy.reconcile(gradients)  # the first step may prepare
    with waiting_raises():
        strategy.reconcile(gradients)
