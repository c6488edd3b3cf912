"""Several networks as one: each member is, and learns, exactly what a network alone would."""

from functools import partial

import numpy as np
import pytest
import torch
from small_problem import PAIRS, build, encode, seeded

from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells
from skhvae.held_out import HeldOutCells
from skhvae.inference import (
    impute_rows,
    latent_means,
    log_predictive,
    own_estimates,
    point_estimates,
)
from skhvae.models import MODELS
from skhvae.models._blocks import MemberLinear
from skhvae.moo import EqualNorm, GradNorm, Impartiality, Sum
from skhvae.objectives import ELBO, OBJECTIVES
from skhvae.step import Averaged, Step

M = 3
BETA, VISIBLE_WEIGHT = 0.7, 0.3
N_ROWS = 9  # of a batch; the table has more, so that numbers with few values are looked up


class Members:
    """Three members, three networks alone with their weights, and a few rows in float64."""

    def __init__(self, model):
        made = make_heterogeneous(200, random_state=0).data
        made["code"] = np.random.default_rng(0).choice([0.5, 2.0, 10.0], len(made))
        table, _ = hide_cells(made, random_state=0)
        self.kind, self.encoded = model, encode(table)
        encoder, values, observed = self.encoded
        self.model = build(*self.encoded, model=partial(model, n_members=M))
        assert all(lookup is not None for lookup in lookups(self.model))
        kinds = {feature.type.name for feature in encoder.features}
        assert kinds >= {"nominal", "binary", "real", "positive", "count", "ordinal"}
        self.by_median = torch.tensor([f.type.estimate == "median" for f in encoder.features])
        self.model.double()
        generator = seeded()
        with torch.no_grad():  # or all biases would be the same for all members
            for parameter in self.model.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
            for lookup in lookups(self.model):
                lookup.vectors[:, -1] = 0
        self.alone = [alone(self, k) for k in range(M)]
        self.whole = values.double(), observed
        self.values, self.observed = (x[:N_ROWS] for x in self.whole)

    def shown(self, what, seed=0):
        """Values, and the cells that are observed, visible and shown as missing."""
        if what == "the same":
            return self.values, self.observed, self.observed, ~self.observed
        rows = torch.arange(N_ROWS).expand(M, -1)
        if what == "other rows":
            rows = torch.randperm(len(self.whole[0]), generator=seeded(seed))[: M * N_ROWS]
            rows = rows.view(M, N_ROWS)
        values, observed = (x[rows] for x in self.whole)
        assert observed.any(1).all()
        assert not observed.all()
        chance = torch.rand(2, *observed.shape, generator=seeded(seed))
        visible = observed & (chance[0] > 1 / 3)
        missing = ~observed | (~visible & (chance[1] < 0.5))
        if what == "other cells":  # of the same rows
            values, observed = values[0], observed[0]
        return values, observed, visible, missing

    def noise(self, *leading, seed=1):
        shape = *leading, self.model.noise_dim
        return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)

    @property
    def networks(self):
        return [self.model, *self.alone]


def lookups(model):
    return [model.embedding.levels, model.embedding.codes.lookup]


def of_one(shown, k):
    """What member k is shown."""
    return [x[k] if x.dim() > 2 else x for x in shown]


SHOWN = ["the same", "other cells", "other rows"]


@pytest.fixture(params=MODELS)
def members(request):
    return Members(MODELS[request.param])


def alone(members, k):
    """A model of one member, with the weights of member k."""
    network = build(*members.encoded, model=members.kind, seed=100 + k).double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            of_all = members.model.get_parameter(name)
            parameter.copy_(of_member(members.model, name, of_all, k).view_as(parameter))
    return network


def of_member(model, name, of_all, k):
    """Member k's share of a parameter, or of its gradient, as a network alone would have it."""
    path, _, own_name = name.rpartition(".")
    is_weight = isinstance(model.get_submodule(path), MemberLinear) and own_name == "weight"
    return (of_all[k].mT if is_weight else of_all[k]).contiguous()


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def parts(posterior):
    """All that a posterior says of the rows."""
    names = [name for name, x in vars(posterior).items() if torch.is_tensor(x)]
    tensors = {name: getattr(posterior, name) for name in [*names, "mean"]}
    return {name: x for name, x in tensors.items() if x.dim() > 1}


# What a member computes


def test_each_member_is_drawn_for_itself(members):
    fresh = build(*members.encoded, model=partial(members.kind, n_members=M))
    for name, parameter in fresh.named_parameters():
        assert parameter.shape[0] == M, name
        if parameter.unique().numel() > 2 and "bias" not in name:  # not the ones of a norm
            assert not torch.equal(parameter[0], parameter[1]), name


def test_one_member_has_no_axis_of_its_own(members):
    kinds = partial(members.kind, n_members=1), members.kind
    one, plain = (build(*members.encoded, model=kind) for kind in kinds)
    assert one.n_members == plain.n_members == 1
    for (name, ours), (other, theirs) in zip(
        one.named_parameters(), plain.named_parameters(), strict=True
    ):
        assert name == other
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("what", SHOWN)
@pytest.mark.parametrize("training", [True, False])
def test_a_member_encodes_as_a_network_alone(members, what, training):
    shown = members.shown(what)
    for network in members.networks:
        network.train(training)
    values, _, *cells = shown
    of_all = members.model.encode(values, *cells)
    assert of_all.mean.shape == (M, N_ROWS, members.model.latent_dim)
    for k, network in enumerate(members.alone):
        own, _, *seen = of_one(shown, k)
        expected = parts(network.encode(own, *seen))
        assert {"mean", "state"} < set(expected)
        for name, part in expected.items():
            close(parts(of_all)[name][k], part)
    assert not torch.allclose(of_all.mean[0], of_all.mean[1])  # or the test shows nothing


@pytest.mark.parametrize("what", SHOWN)
def test_a_cell_is_missing_by_default_if_it_is_not_visible(members, what):
    values, _, visible, _ = members.shown(what)
    by_default = members.model.encode(values, visible)
    assert torch.equal(by_default.mean, members.model.encode(values, visible, ~visible).mean)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("leading", [(), (4,)], ids=["one point", "several points"])
def test_a_member_decodes_as_a_network_alone(members, leading, training):
    """Points, their KL term, the raw parameters of every cell and what it costs."""
    shown, noise = members.shown("other rows"), members.noise(*leading, M, N_ROWS)
    for network in members.networks:
        network.train(training)
    values, _, *cells = shown
    posterior = members.model.encode(values, *cells)
    points = posterior.at(noise)
    params = members.model.params(points, posterior)
    losses = members.model.heads.losses(params, values)
    for k, network in enumerate(members.alone):
        own, _, *seen = of_one(shown, k)
        alone = network.encode(own, *seen)
        at = alone.at(noise[..., k, :, :])
        close(points[..., k, :, :], at)
        close(posterior.kl(points)[..., k, :], alone.kl(at))
        if network.has_density:
            close(posterior.log_ratio(points)[..., k, :], alone.log_ratio(at))
        params_alone = network.params(at, alone)
        for of_all, expected in zip(params, params_alone, strict=True):
            assert of_all.shape[:-2] == (*leading, M, N_ROWS)
            close(of_all[..., k, :, :, :], expected)
        close(losses[..., k, :, :], network.heads.losses(params_alone, own))


def test_what_is_hidden_from_a_member_does_not_reach_it(members):
    """Whatever the others see of it."""
    values, _, visible, missing = members.shown("other cells")
    before = members.model.encode(values, visible, missing)
    for k in range(M):
        changed = torch.where(visible[k], values, values.flip(0))
        after = members.model.encode(changed, visible, missing)
        for name, part in parts(before).items():
            assert torch.equal(parts(after)[name][k], part[k]), name
        for other in {*range(M)} - {k}:
            assert not torch.equal(after.state[other], before.state[other])


def test_dropout_is_drawn_for_each_member():
    model = MODELS["cvae"]
    members = Members(model)
    network = build(*members.encoded, model=partial(model, n_members=2), dropout=0.5)
    with torch.no_grad():  # members alike
        for parameter in network.parameters():
            parameter[1] = parameter[0]
    network.lend(seeded())
    first, second = network.encode(members.values.float(), members.observed).mean
    assert not torch.allclose(first, second)
    first, second = network.eval().encode(members.values.float(), members.observed).mean
    torch.testing.assert_close(first, second)


# What a member learns


@pytest.mark.parametrize("leading", [(), (5,)], ids=["one point", "several points"])
def test_noise_is_drawn_for_each_member(members, leading):
    values, _, visible, missing = members.shown("other rows")
    posterior = members.model.encode(values, visible, missing)
    noise = ELBO.noise(posterior, leading, members.model.noise_dim, seeded())
    assert noise.shape == (*leading, M, N_ROWS, members.model.noise_dim)
    assert len(noise.unique()) == noise.numel()


STRATEGIES = {
    "sum": Sum(),
    "equal-norm": EqualNorm(),
    "gradnorm": GradNorm(learning_rate=0.5),  # quick, so that what it remembers matters
}


def given(objective, numbers):
    """The objective, with noise that is not drawn."""

    class Given(OBJECTIVES[objective]):
        @staticmethod
        def noise(posterior, shape, size, generator):
            assert numbers.shape == (*shape, *posterior.state.shape[:-1], size)
            return numbers

    return Given(BETA)


def loss_of(network, objective, noise, shown, impartiality):
    """Its gradients are those of a member's mean row."""
    values, observed, visible, missing = shown
    network.zero_grad()
    loss = given(objective, noise)(
        network.train(), values, observed, visible, impartiality, None, VISIBLE_WEIGHT, missing
    )
    (loss.total * network.n_members).backward()
    return loss


def losses_of(members, objective, shown, blocks, seed=1):
    """The members' loss and those of the networks alone; `blocks` for each of these."""
    samples = (5,) if OBJECTIVES[objective].weighs_points else ()
    noise = members.noise(*samples, M, N_ROWS, seed=seed)
    own = [(noise[..., k, :, :].contiguous(), of_one(shown, k)) for k in range(M)]
    each = zip(members.networks, [(noise, shown), *own], blocks, strict=True)
    return [loss_of(network, objective, *given, block) for network, given, block in each]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("objective", "model"), PAIRS)
def test_a_member_learns_as_a_network_alone(objective, model, strategy):
    """From what it sees and draws itself; the second step is another one for what is remembered."""
    members = Members(MODELS[model])
    blocks = [Impartiality(STRATEGIES[strategy]) for _ in members.networks]
    for seed, what in enumerate(["other rows", "other cells"]):
        shown = members.shown(what, seed)
        loss, *losses = losses_of(members, objective, shown, blocks, seed=10 + seed)
        for k, network in enumerate(members.alone):
            for name, parameter in network.named_parameters():
                of_all = members.model.get_parameter(name).grad
                actual = of_member(members.model, name, of_all, k).view_as(parameter)
                scale = parameter.grad.abs().max()
                assert scale > 0, name
                close(actual / scale, parameter.grad / scale)
        for part in ("features", "kl", "total"):
            mean = torch.stack([getattr(own, part) for own in losses]).mean(0)
            close(getattr(loss, part), mean)


@pytest.mark.parametrize("objective", ["elbo", "dreg"])
def test_one_record_for_all_members(objective):
    members = Members(MODELS["cvae"])
    blocks = [Impartiality(EqualNorm()) for _ in members.networks]
    losses_of(members, objective, members.shown("other rows"), blocks)
    assert set(blocks[0].places) == set(blocks[1].places)
    for name, place in blocks[0].places.items():
        each = [own.at(name).conflict for own in blocks[1:]]
        cosines = torch.stack([conflict.mean_cosines for conflict in each])
        torch.testing.assert_close(place.conflict.mean_cosines, cosines.mean(0))
        share, weights = place.conflict.epoch()
        shares, of_each = zip(*(conflict.epoch() for conflict in each), strict=True)
        assert share == pytest.approx(np.mean(shares))
        torch.testing.assert_close(weights, torch.stack(of_each).mean(0))


def test_plain_backpropagation_is_the_sum(members):
    """Without strategies the heads of all members are one product, and the gradient is the same."""
    shown, noise = members.shown("other cells"), members.noise(M, N_ROWS)
    found = []
    for blocks in (None, Impartiality(Sum())):
        loss_of(members.model, "elbo", noise, shown, blocks)
        found.append([p.grad.clone() for p in members.model.parameters()])
    for plain, ours in zip(*found, strict=True):
        close(ours, plain)


class Centre(ELBO):
    """The ELBO in the middle of the posterior."""

    @staticmethod
    def noise(posterior, shape, size, generator):
        return posterior.state.new_zeros(*shape, *posterior.state.shape[:-1], size)


def after_steps(network, values, observed, chance, orders):
    """Takes steps that hide what is said; returns what averages the weights."""
    averaged = Averaged(network)
    step = Step(
        network.train(),
        values,
        observed,
        objective=Centre(BETA),
        impartiality=Impartiality(GradNorm(learning_rate=0.5)),
        batch_size=N_ROWS,
        weight_decay=0.1,
        generator=seeded(),
        averaged=averaged,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skhvae.step.hide_at_random", lambda observed, *_: observed & (chance > 0.3))
        patch.setattr("skhvae.step.show_as_missing", lambda observed, *_: ~observed)
        for rows in orders:
            step.prepare(rows, 0.05, 0.1)
            step()
    assert step.tally.means()[2] == len(orders)
    return averaged.model


@pytest.mark.parametrize("learns", ["the same", "other cells"])
def test_a_member_takes_the_steps_of_a_network_alone(members, learns):
    """Rows, loss, clipping, optimiser and averaging in all."""
    values, observed = members.whole
    if learns == "other cells":
        observed = observed & (torch.rand(M, *observed.shape, generator=seeded(1)) < 0.8)
    chance = torch.rand(M, N_ROWS, values.shape[1], generator=seeded(2))
    orders = torch.randint(len(values), (3, M, N_ROWS), generator=seeded(3))
    before = {name: p.detach().clone() for name, p in members.model.named_parameters()}
    averages = after_steps(members.model, values, observed, chance, orders)
    for k, network in enumerate(members.alone):
        (own,) = of_one([observed], k)
        average = after_steps(network, values, own, chance[k], orders[:, k])
        for ours, alone in ((members.model, network), (averages, average)):
            for name, parameter in alone.named_parameters():
                actual = of_member(ours, name, ours.get_parameter(name), k).view_as(parameter)
                torch.testing.assert_close(actual, parameter, rtol=1e-6, atol=1e-7, msg=name)
    for name, parameter in members.model.named_parameters():
        assert (parameter - before[name]).abs().amax() > 0.01, name


@pytest.mark.parametrize("model", MODELS.values())
def test_what_is_not_visible_stays_nothing(model):
    """Its row of the lookups learns nothing and does not decay."""
    members = Members(model)
    _, values, observed = members.encoded
    network = build(*members.encoded, model=partial(model, n_members=M)).train()
    step = Step(
        network,
        values,
        observed,
        objective=ELBO(BETA),
        impartiality=Impartiality(EqualNorm()),
        batch_size=50,
        weight_decay=0.1,
        generator=seeded(),
    )
    before = [lookup.vectors.detach().clone() for lookup in lookups(network)]
    for _ in range(2):
        step.prepare(step.shuffled()[0], 1e-2, 0.1)
        step()
    for lookup, start in zip(lookups(network), before, strict=True):
        assert not lookup.vectors[:, -1].any()
        assert ((lookup.vectors - start)[:, :-1].abs().amax((1, 2)) > 1e-3).all()


# What members predict together


def points_of(members, n_points=4):
    """The same points for all rows and members."""
    return members.noise(n_points)


def alone_at(members, network, points):
    """Raw parameters of a network alone, (S, B, n_features, n_parameters), one tensor a family."""
    posterior = network.encode(members.values, members.observed)
    return network.params(posterior.at(points.unsqueeze(1)), posterior)


@torch.no_grad()
def test_numbers_are_the_mean_of_the_networks_estimates(members):
    points = points_of(members)
    together, *each = (
        point_estimates(network.eval(), members.values, members.observed, points, members.by_median)
        for network in members.networks
    )
    finite = torch.tensor([f.type.finite for f in members.encoded[0].features])
    close(together[:, ~finite], torch.stack(each).mean(0)[:, ~finite])
    assert not torch.allclose(each[0][:, ~finite], each[1][:, ~finite])


@torch.no_grad()
def test_levels_are_those_of_the_mean_probabilities(members):
    points = points_of(members)
    for network in members.networks:
        network.eval()
    together = point_estimates(
        members.model, members.values, members.observed, points, members.by_median
    )
    each = [alone_at(members, network, points) for network in members.alone]
    feature, seen = 0, set()
    for family, *params in zip(members.model.heads.families, *each, strict=True):
        n_features = params[0].shape[-2]
        if family.finite:
            probs = torch.stack([family.probs(eta).mean(0) for eta in params]).mean(0)
            for own in range(n_features):
                by_median = members.by_median[feature + own].item()
                expected = (probs[:, own].cumsum(-1) < 0.5).sum(-1)
                expected = expected if by_median else probs[:, own].argmax(-1)
                assert torch.equal(together[:, feature + own], expected.to(together.dtype))
                seen.add(by_median)
        feature += n_features
    assert seen == {True, False}


@torch.no_grad()
def test_density_is_the_mean_over_members_and_points(members):
    points = points_of(members)
    for network in members.networks:
        network.eval()
    actual = log_predictive(members.model, members.values, members.observed, points)
    each = torch.cat(
        [
            network.heads.log_prob(alone_at(members, network, points), members.values)
            for network in members.alone
        ]
    )
    assert len(each) == M * len(points)
    torch.testing.assert_close(actual, each.logsumexp(0) - np.log(len(each)), rtol=1e-9, atol=1e-9)


def test_latent_means_stand_side_by_side(members):
    for network in members.networks:
        network.eval()
    together, *each = (
        latent_means(network, members.values, members.observed) for network in members.networks
    )
    assert together.shape == (N_ROWS, M * members.model.latent_dim)
    close(together, torch.cat(each, dim=1))


# What each predicts by itself


def held_out(members):
    """Cells of the whole table, (M, n_rows, n_features), that each member does not see; one feature
    is not held out from the first."""
    _, observed = members.whole
    held = observed & (torch.rand(M, *observed.shape, generator=seeded()) < 0.4)
    held[0, :, 1] = False
    return held, observed & ~held


def test_a_members_own_estimates_are_those_of_the_network_alone(members):
    values, points = members.whole[0], points_of(members)
    _, visible = held_out(members)
    together = own_estimates(members.model.eval(), values, visible, points, members.by_median)
    assert together.shape == visible.shape
    for k, network in enumerate(members.alone):
        asked = network.eval(), values, visible[k], points, members.by_median
        for alone in (impute_rows(*asked), own_estimates(*asked)):
            close(together[k], alone)


def test_held_out_errors_are_of_all_members_cells(members):
    """Each cell's from the member that does not see it; one where several do not counts for each."""
    values, features = members.whole[0], members.encoded[0].features
    finite = torch.tensor([f.type.finite for f in features])
    held, visible = held_out(members)

    def cells(visible, held):
        return HeldOutCells(
            values, visible, held, members.by_median, finite, torch.ones(len(finite))
        )

    together = cells(visible, held).errors(members.model.eval())
    total = torch.zeros_like(together)
    for k, network in enumerate(members.alone):
        own = cells(visible[k], held[k])
        errors = own.errors(network.eval())
        assert errors.isnan().any() == (k == 0)
        costs = torch.where(finite, errors, errors**2) * own.counts
        total += costs.nan_to_num(nan=0.0)
    mean = total / held.sum((0, 1))
    close(together, torch.where(finite, mean, mean.sqrt()))
