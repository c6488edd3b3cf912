"""One training step: it waits for no device, stays on it, and leaves nothing when it is skipped."""

import io
import pickle
import warnings
from functools import partial

import pytest
import torch
from cuda_device import needs_cuda, waiting_raises
from small_problem import PAIRS, seeded, small_problem
from tape import NotRecordable, base_name, check_recordable, tensors
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from skhvae.models import MODELS, VAE
from skhvae.moo import STRATEGIES, EqualNorm, Impartiality, as_strategy
from skhvae.objectives import ELBO, OBJECTIVES, Loss
from skhvae.step import Averaged, Step, Tally


def make_step(
    objective=None,
    model="cvae",
    strategy="equal-norm",
    seed=0,
    n_members=1,
    device="cpu",
    **options,
):
    """A step on a table with all feature types, taken once."""
    problem = small_problem(partial(MODELS[model], n_members=n_members), dropout=0.2)
    problem.model.to(device)
    generator = torch.Generator(device).manual_seed(seed)
    problem.model.lend(generator)
    step = Step(
        problem.model.train(),
        problem.values.to(device),
        problem.observed.to(device),
        objective=objective or ELBO(0.1),
        impartiality=Impartiality(as_strategy(strategy), generator),
        batch_size=16,
        weight_decay=1e-3,
        generator=generator,
        averaged=Averaged(problem.model),
        **options,
    )
    take(step)
    return step


def take(step):
    step.prepare(step.shuffled()[0], 1e-3, 0.1)
    step()


# Without waiting


def with_tensors(thing, replace):
    """A copy of anything that can be pickled, its tensors replaced; generators stay."""
    kept, copies, file = [], [], io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, part):
            if isinstance(part, torch.Tensor | torch.Generator):
                kept.append(part)
                return len(kept) - 1
            return None

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, index):
            return copies[index]

    Pickler(file).dump(thing)
    made = {}
    for part in kept:
        if isinstance(part, torch.Tensor):
            part = made.setdefault(id(part), replace(part))
        copies.append(part)
    file.seek(0)
    return Unpickler(file).load()


def on_device(tensor):
    """Shape and type of a tensor on a device that holds no numbers: none can be asked for."""
    twin = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    return torch.nn.Parameter(twin) if isinstance(tensor, torch.nn.Parameter) else twin


class OfTheHost(NotRecordable):
    """A tensor of the host took part."""


class OnDevice(TorchDispatchMode):
    """No operation may take or give a tensor of the host, nor use a library that makes it wait."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = base_name(operation)
        check_recordable(operation, args)
        if not all(tensor.is_meta for tensor in tensors([args, kwargs])):
            raise OfTheHost(name)
        if name == "_fused_adamw_":  # changes tensors in place, and has no version without numbers
            return None
        results = operation(*args, **(kwargs or {}))
        if not all(tensor.is_meta for tensor in tensors(results)):
            raise OfTheHost(name)
        return results


def take_on_device(step):
    """Two steps on a device without numbers; raises if the host would have to wait for one, if it sends
    a tensor, or if tensors of two devices meet."""

    def from_the_host(*args, **kwargs):
        raise OfTheHost("numbers sent to the device")

    with FakeTensorMode(), pytest.MonkeyPatch.context() as patch:
        twin = with_tensors(step, on_device)
        rows = torch.zeros(16, dtype=torch.long, device="meta")
        for name in ("tensor", "as_tensor", "from_numpy"):  # send numbers, which no mode sees
            patch.setattr(torch, name, from_the_host)
        with OnDevice(), warnings.catch_warnings():
            # A copied optimiser, unlike a new one, says so where there is a CUDA device.
            warnings.filterwarnings(
                "ignore", message="This instance was constructed with capturable"
            )
            for _ in range(2):
                twin.prepare(rows, 1e-3, 0.1)
                twin()
            twin.tally.begin()


@needs_cuda
@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if STRATEGIES[name].recordable])
@pytest.mark.parametrize(("objective", "model"), PAIRS)
def test_no_step_waits_for_a_cuda_device(objective, model, strategy):
    step = make_step(OBJECTIVES[objective](0.1), model, strategy, device="cuda")
    rows = step.shuffled()[0]
    with waiting_raises():
        step.prepare(rows, 1e-3, 0.1)
        step()


@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize(("objective", "model"), PAIRS)
def test_no_step_waits(objective, model, n_members):
    take_on_device(make_step(OBJECTIVES[objective](0.1), model, n_members=n_members))


@pytest.mark.parametrize(("model", "n_members"), [("cvae", 1), ("hivae", 1), ("cvae", 2)])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_that_make_the_host_wait_say_so(strategy, model, n_members):
    step = make_step(model=model, strategy=strategy, n_members=n_members)
    if step.recordable:
        take_on_device(step)
    else:
        with pytest.raises(NotRecordable):
            take_on_device(step)


def test_chains_and_functions_say_so_too():
    for n_members in (1, 2):
        take_on_device(make_step(strategy=("gradnorm", "pcgrad"), n_members=n_members))
    assert not make_step(strategy=("equal-norm", "mgda")).recordable
    assert not make_step(strategy=lambda gramian: gramian[0] ** 0).recordable


class Altered(ELBO):
    """The ELBO, with something done to its parts."""

    def __init__(self, alter):
        super().__init__(0.1)
        self.alter = alter

    def __call__(self, *args, **kwargs):
        loss = super().__call__(*args, **kwargs)
        features = loss.features * self.alter(loss)
        return Loss(features, loss.kl, features.sum() + loss.kl)


def a_number(loss):
    return loss.kl.item()


def a_condition(loss):
    return 1.0 if loss.kl > 0 else 2.0


def some_features(loss):
    return 1 + 0 * loss.features[loss.features > 0].sum()


def a_tensor_of_the_host(loss):
    return torch.ones(len(loss.features))


def a_number_of_the_host(loss):
    return torch.ones(())


def a_number_sent(loss):
    return torch.tensor(1.0, device=loss.kl.device)


def a_copy_on_the_host(loss):
    return 1 + 0 * loss.kl.detach().to("cpu").to(loss.kl.device)


@pytest.mark.parametrize(
    ("alter", "error"),
    [
        (a_number, NotRecordable),
        (a_condition, NotRecordable),
        (some_features, NotRecordable),
        (a_tensor_of_the_host, OfTheHost),
        (a_number_of_the_host, OfTheHost),
        (a_number_sent, OfTheHost),
        (a_copy_on_the_host, OfTheHost),
    ],
)
def test_a_step_that_waits_would_be_noticed(alter, error):
    step = make_step(Altered(alter))
    with pytest.raises(error):
        take_on_device(step)


# Skipped steps


def nan_when_told(loss):
    return torch.nan if nan_when_told.now else 1.0


def test_a_skipped_step_leaves_everything_as_it_was():
    """But what counts it."""
    nan_when_told.now = False
    step = make_step(Altered(nan_when_told))
    take(step)
    before = {kind: [t.clone() for t in kept] for kind, kept in step.state().items()}
    nan_when_told.now = True
    take(step)
    take(step)
    for kind in ("weights", "moments", "squares", "counts", "averages"):
        assert before[kind]
        for now, then in zip(step.state()[kind], before[kind], strict=True):
            assert torch.equal(now, then), kind
    assert step.tally.n_skipped_in_a_row == 2
    assert step.tally.means()[2] == 2
    nan_when_told.now = False
    take(step)
    for kind in ("weights", "moments", "squares", "averages"):
        assert all(tensor.isfinite().all() for tensor in step.state()[kind])
        assert not torch.equal(step.state()[kind][0], before[kind][0])


def loss_of(*features, kl=1.0):
    return Loss(torch.tensor(features), torch.tensor(kl), None)


YES, NO = torch.tensor(True), torch.tensor(False)


def test_a_tally_is_of_the_steps_that_were_taken():
    tally = Tally(2, torch.zeros(1))
    tally.add(loss_of(1.0, 2.0, kl=3.0), YES)
    tally.add(loss_of(torch.nan, 7.0, kl=torch.inf), NO)
    tally.add(loss_of(3.0, 4.0, kl=5.0), YES)
    losses, kl, n_taken = tally.means()
    assert losses.tolist() == [2.0, 3.0]
    assert (kl, n_taken) == (4.0, 2)
    assert tally.culprits.tolist() == [True, False]
    tally.begin()
    tally.add(loss_of(1.0, 1.0), NO)
    losses, kl, n_taken = tally.means()
    assert (losses.tolist(), kl, n_taken) == ([0.0, 0.0], 0.0, 0)
    assert tally.culprits.tolist() == [False, False]


def test_the_longest_row_of_skipped_steps_is_remembered():
    tally, longest = Tally(1, torch.zeros(1)), []
    for finite in (NO, YES, NO, NO, NO, YES, NO, NO):
        tally.add(loss_of(1.0), finite)
        tally.begin()  # rows go on from epoch to epoch
        longest.append(tally.n_skipped_in_a_row.item())
    assert longest == [1, 1, 1, 2, 3, 3, 3, 3]


# Members


class Louder(ELBO):
    """The ELBO, with a factor for each member's reconstruction loss; notes what they are shown."""

    def __init__(self, *times):
        super().__init__(0.1)
        self.times, self.shown = torch.tensor(times), []

    def __call__(self, model, values, observed, visible, *args, **kwargs):
        plain = model.heads.losses

        def louder(params, values):
            return plain(params, values) * self.times.view(-1, 1, 1)

        self.shown.append((values, observed, visible, args[-1]))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model.heads, "losses", louder)
            return super().__call__(model, values, observed, visible, *args, **kwargs)


def gradients_of(step):
    """Each member's, as one vector."""
    gradients = [parameter.grad.flatten(1) for parameter in step.model.parameters()]
    return torch.cat(gradients, dim=1)


def test_members_are_shown_other_cells():
    objective = Louder(1.0, 1.0)
    step = make_step(objective, n_members=2)
    step.prepare(torch.arange(16).expand(2, -1), 1e-3, 0.1)  # of the same rows
    step()
    values, observed, visible, missing = objective.shown[-1]
    assert torch.equal(values, step.values[:16].expand(2, -1, -1))
    assert torch.equal(observed, step.observed[:16].expand(2, -1, -1))
    assert not (visible & ~observed).any()
    assert not (visible & missing).any()
    assert (missing | observed).all()
    for cells in (visible, missing):
        assert cells.shape == observed.shape
        assert not torch.equal(*cells)
    assert (visible.sum((1, 2)) < observed.sum((1, 2))).all()


def test_members_go_through_the_rows_in_orders_of_their_own():
    step = make_step(n_members=2)
    rows = step.shuffled()
    assert rows.shape == (3, 2, 16)
    first, second = rows.movedim(1, 0).flatten(1)
    assert len(first.unique()) == len(second.unique()) == 48
    assert not torch.equal(first, second)


def test_rows_are_in_the_batches_as_often_as_their_weights_say():
    problem = small_problem(partial(VAE, n_members=2))
    step = Step(
        problem.model,
        problem.values,
        problem.observed,
        torch.arange(50, dtype=torch.float64),
        objective=ELBO(0.1),
        impartiality=Impartiality(EqualNorm()),
        batch_size=10,
        weight_decay=0.0,
        generator=seeded(),
    )
    rows = torch.stack([step.shuffled() for _ in range(40)])
    assert rows.shape == (40, 5, 2, 10)
    for member in range(2):
        counts = rows[:, :, member].flatten().bincount(minlength=50) / 40
        expected = torch.arange(50) * 50 / (49 * 50 / 2)
        assert (counts - expected).abs().max() < 4 * 0.5 / 40**0.5
    assert not torch.equal(rows[:, :, 0], rows[:, :, 1])


def test_members_can_learn_from_different_cells():
    problem = small_problem(partial(VAE, n_members=2))
    kept = torch.rand(2, *problem.observed.shape, generator=seeded()) < 0.7
    objective = Louder(1.0, 1.0)
    step = Step(
        problem.model,
        problem.values,
        problem.observed & kept,
        objective=objective,
        impartiality=Impartiality(EqualNorm()),
        batch_size=16,
        weight_decay=0.0,
        generator=seeded(),
    )
    rows = step.shuffled()[1]
    step.prepare(rows, 1e-3, 0.1)
    step()
    ((values, observed, visible, missing),) = objective.shown
    for k in range(2):
        assert torch.equal(values[k], problem.values[rows[k]])
        assert torch.equal(observed[k], (problem.observed & kept[k])[rows[k]])
    assert not (visible & ~observed).any()
    assert (missing | observed).all()


@pytest.mark.parametrize("model", MODELS)
def test_each_members_gradient_is_clipped_by_itself(model):
    """A loud one does not quieten the other, and keeps its direction."""
    quiet, loud, louder = (
        gradients_of(make_step(Louder(1e-4, times), model, "sum", n_members=2))
        for times in (1e-4, 1e4, 1e5)
    )
    assert (quiet.norm(dim=1) < 0.999).all()  # nothing to clip
    for gradients in (loud, louder):
        assert torch.equal(gradients[0], quiet[0])
        assert gradients[1].norm().item() == pytest.approx(1.0, abs=1e-4)
    torch.testing.assert_close(loud[1], louder[1], rtol=0, atol=1e-3)


@pytest.mark.parametrize("factor", [torch.nan, torch.inf])
@pytest.mark.parametrize("member", [0, 1])
def test_one_member_that_is_not_finite_skips_the_step_for_all(member, factor):
    objective = Louder(1.0, 1.0)
    step = make_step(objective, n_members=2)
    before = {kind: [t.clone() for t in kept] for kind, kept in step.state().items()}
    objective.times[member] = factor
    take(step)
    for kind in ("weights", "moments", "squares", "counts", "averages"):
        assert before[kind]
        for now, then in zip(step.state()[kind], before[kind], strict=True):
            assert torch.equal(now, then), kind
    assert step.tally.n_skipped_in_a_row == 1
    objective.times[member] = 1.0
    take(step)
    for now, then in zip(step.state()["weights"], before["weights"], strict=True):
        assert now.isfinite().all()
        assert not any(torch.equal(*pair) for pair in zip(now, then, strict=True))


# Averaging


def test_averages_follow_the_weights():
    model = small_problem(VAE).model
    averaged, expected, n_steps = Averaged(model), None, 0
    for i in range(30):
        with torch.no_grad():
            model.trunk[0].bias.fill_(i)
        averaged.update(NO if i % 4 == 0 else YES)
        if i % 4:
            n_steps += 1
            decay = min(0.999, n_steps / (n_steps + 9))
            expected = decay * (expected or 0.0) + (1 - decay) * i
        if expected:
            assert averaged.model.trunk[0].bias[0].item() == pytest.approx(expected, rel=1e-5)
    assert not averaged.model.training


def test_averages_forget_slowly_in_the_end():
    model = small_problem(VAE).model
    averaged = Averaged(model)
    averaged._steps.fill_(1e6)
    before = averaged.model.trunk[0].weight.detach().clone()
    with torch.no_grad():
        model.trunk[0].weight += 1
    averaged.update(YES)
    torch.testing.assert_close(
        averaged.model.trunk[0].weight - before, torch.full_like(before, 1e-3)
    )


# Rows


@pytest.mark.parametrize(("batch_size", "n_steps"), [(16, 3), (25, 2), (50, 1), (80, 1)])
def test_batches_are_whole(batch_size, n_steps):
    problem = small_problem()
    step = Step(
        problem.model,
        problem.values,
        problem.observed,
        objective=ELBO(0.1),
        impartiality=Impartiality(EqualNorm()),
        batch_size=batch_size,
        weight_decay=0.0,
        generator=seeded(),
    )
    rows = step.shuffled()
    assert rows.shape == (n_steps, min(batch_size, 50))
    assert len(rows.unique()) == rows.numel()
    assert not torch.equal(rows, step.shuffled())
    step.prepare(rows[0], 1e-3, 1.0)
    step()
