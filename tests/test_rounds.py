"""The rounds of an iterative schedule: how many units each leaves, and which."""

from decimal import Decimal, localcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from learners import clusters, mlp
from minified import criteria, pruning
from minified.criteria.record import CRITERIA, SCOPES
from minified.foundations.errors import AllocationError, ScoreError
from minified.foundations.rounds import MOST_ROUNDS, Round, schedule
from minified.networks import chains

every_scope = pytest.mark.parametrize("scope", SCOPES)
sparsities = st.floats(0.0, 1.0, exclude_max=True)
counts = st.integers(1, MOST_ROUNDS)


def exactly(total: int, sparsity: float, number: int, of: int) -> Decimal:
    """(1 - (1 - s)^(k / n)) total in 60 digits, without rounding to a whole number."""
    with localcontext(prec=60):
        left = (1 - Decimal(sparsity)) ** (Decimal(number) / Decimal(of))
        return (1 - left) * total


# How many


@given(sparsity=sparsities, rounds=counts, total=st.integers(1, 10**7))
def test_after_each_round_the_nearest_whole_number_to_the_schedule_is_gone(
    sparsity: float, rounds: int, total: int
) -> None:
    removed = [step.removed(total, sparsity) for step in schedule(rounds)]
    for number, count in enumerate(removed, start=1):
        distance = abs(exactly(total, sparsity, number, rounds) - count)
        assert distance <= Decimal("0.5") + Decimal("1e-8")
    assert removed == sorted(removed)
    assert 0 <= removed[0] <= removed[-1] <= total


@given(sparsity=sparsities, rounds=counts, total=st.integers(1, 10**7))
def test_after_the_last_round_as_many_are_gone_as_one_shot_removes(
    sparsity: float, rounds: int, total: int
) -> None:
    assert Round(rounds, rounds).removed(total, sparsity) == round(sparsity * total)
    assert len(schedule(rounds)) == rounds


@pytest.mark.parametrize(("sparsity", "total"), [(0.05, 10), (0.1, 15), (0.1, 75)])
def test_the_last_round_is_not_off_by_one_where_a_fraction_of_a_fraction_is(
    sparsity: float, total: int
) -> None:
    through_floats = round((1 - (1 - sparsity)) * total)
    assert through_floats != round(sparsity * total)
    assert Round(3, 3).removed(total, sparsity) == round(sparsity * total)


def test_every_round_removes_the_same_fraction_of_what_is_left() -> None:
    assert [step.removed(1000, 0.992) for step in schedule(3)] == [800, 960, 992]
    assert [step.removed(1000, 0.75) for step in schedule(2)] == [500, 750]
    assert [step.removed(1000, 0.0) for step in schedule(4)] == [0, 0, 0, 0]


# Which weights


def layers(
    data: st.DataObject, sizes: list[int], values: st.SearchStrategy[float]
) -> dict[str, Tensor]:
    return {
        str(2 * i): torch.tensor(data.draw(st.lists(values, min_size=n, max_size=n)))
        for i, n in enumerate(sizes)
    }


values = st.integers(-3, 3).map(float) | st.sampled_from([-0.0, float("inf"), -float("inf")])


@every_scope
@settings(deadline=None, max_examples=60)
@given(data=st.data(), sparsity=sparsities, rounds=st.integers(1, 5))
def test_weights_go_lowest_first_among_those_that_are_left_and_never_return(
    scope: str, data: st.DataObject, sparsity: float, rounds: int
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    masks: dict[str, Tensor] | None = None
    gone: set[tuple[str, int]] = set()
    for number in range(1, rounds + 1):
        scores = layers(data, sizes, values)
        masks = pruning.parameter_masks(
            scores, sparsity, scope, step=Round(number, rounds), masks=masks
        )
        now = {(n, i) for n, mask in masks.items() for i in (~mask).nonzero().flatten().tolist()}
        assert gone <= now
        for group in [list(scores)] if scope == "global" else [[name] for name in scores]:
            units = [(name, i) for name in group for i in range(len(scores[name]))]
            share = sparsity if number == rounds else 1 - (1 - sparsity) ** (number / rounds)
            assert len([u for u in units if u in now]) == round(share * len(units))
            fresh = [float(scores[n][i]) for n, i in units if (n, i) in now - gone]
            stay = [float(scores[n][i]) for n, i in units if (n, i) not in now]
            assert not fresh or not stay or max(fresh) <= min(stay)
        gone = now


def test_a_removed_weight_stays_removed_even_if_all_others_score_minus_infinity() -> None:
    before = {"0": torch.tensor([[True, False], [True, True]])}
    scores = {"0": torch.tensor([[-torch.inf, torch.inf], [-torch.inf, -torch.inf]])}
    masks = pruning.parameter_masks(scores, 0.5, "layer", step=Round(2, 2), masks=before)
    assert masks["0"].tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize(
    "masks", [{}, {"0": torch.ones(3, dtype=torch.bool)}, {"0": torch.ones(2, 2)}]
)
def test_masks_that_do_not_fit_the_scores_are_refused(masks: dict[str, Tensor]) -> None:
    with pytest.raises(AllocationError, match="masks: 0 must have a bool mask"):
        pruning.parameter_masks({"0": torch.ones(2, 2)}, 0.5, masks=masks)


# Which neurons


@every_scope
@settings(deadline=None, max_examples=60)
@given(data=st.data(), sparsity=sparsities, rounds=st.integers(1, 5))
def test_counts_of_neurons_are_relative_to_the_first_widths_and_one_stays_in_each_layer(
    scope: str, data: st.DataObject, sparsity: float, rounds: int
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    first = {str(2 * i): n for i, n in enumerate(sizes)}
    kept = {name: torch.arange(n) for name, n in first.items()}
    for number in range(1, rounds + 1):
        scores = layers(data, [len(indices) for indices in kept.values()], values)
        stay = pruning.kept_neurons(
            scores, sparsity, scope, step=Round(number, rounds), widths=first
        )
        kept = {name: kept[name][indices] for name, indices in stay.items()}
        share = sparsity if number == rounds else 1 - (1 - sparsity) ** (number / rounds)
        gone = {name: first[name] - len(kept[name]) for name in first}
        if scope == "layer":
            assert gone == {n: min(round(share * size), size - 1) for n, size in first.items()}
        else:
            total = sum(sizes)
            assert sum(gone.values()) == min(round(share * total), total - len(sizes))
            assert all(len(indices) for indices in kept.values())


@pytest.mark.parametrize("rounds", [1, 2, 7])
def test_a_layer_of_two_keeps_one_neuron_whatever_the_rounds(rounds: int) -> None:
    left = [pruning.removed_per_layer(2, 0.99, step) for step in schedule(rounds)]
    assert left[-1] == 1
    assert [pruning.removed_per_layer(2, 0.0, step) for step in schedule(rounds)] == [0] * rounds


def test_fewer_neurons_than_are_scored_cannot_have_been_there() -> None:
    with pytest.raises(AllocationError, match="widths: 0: must be a whole number of at least 4"):
        pruning.kept_neurons({"0": torch.ones(4)}, 0.5, widths={"0": 3})


def test_a_criterion_of_its_own_way_says_which_neurons_stay() -> None:
    network, inputs = mlp(0), clusters().inputs
    smaller, kept = pruning.fold_away(CRITERIA["merging"], network, inputs, {"0": 3, "2": 2})
    merged = pruning.merge_neurons(network, inputs, 0.375)  # 3 of 8, 2 of 5
    for one, other in zip(smaller.parameters(), merged.parameters(), strict=True):
        assert torch.equal(one, other)
    incoming = chains.prunable(network)["0.weight"][kept["0"]]
    assert torch.equal(chains.prunable(smaller)["0.weight"], incoming)
    assert [len(indices) for indices in kept.values()] == [5, 3]


def test_only_a_criterion_with_a_way_of_its_own_can_fold() -> None:
    with pytest.raises(AllocationError, match="criterion obd: has no removal"):
        pruning.fold_away(CRITERIA["obd"], mlp(0), clusters().inputs, {"0": 1, "2": 1})


# Scores of what is left


def test_what_a_criterion_says_of_removed_weights_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, split = mlp(0), clusters()
    masks = {name: torch.rand(w.shape) < 0.5 for name, w in chains.prunable(network).items()}

    def odd(*_: object) -> dict[str, Tensor]:
        return {name: torch.where(mask, 1.0, torch.nan) for name, mask in masks.items()}

    monkeypatch.setattr("minified.criteria.magnitude.magnitude", odd)
    arguments = ("parameter-magnitude", network, split.inputs, split.targets, 0)
    with pytest.raises(ScoreError, match="not finite"):
        criteria.score(*arguments)
    scores = criteria.score(*arguments, masks=masks)
    assert all(torch.equal(scores[name], mask.float()) for name, mask in masks.items())
