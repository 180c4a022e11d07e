"""Allocation: which units go, against a greedy oracle."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from minified.criteria import LEVELS
from minified.criteria.record import SCOPES
from minified.foundations.errors import AllocationError
from minified.pruning import kept_neurons, parameter_masks

Scores = dict[str, Tensor]
Units = set[tuple[str, int]]

every_scope = pytest.mark.parametrize("scope", SCOPES)
every_level = pytest.mark.parametrize("level", LEVELS)
sparsities = st.floats(0.0, 1.0, exclude_max=True)


@st.composite
def several_scores(draw: st.DrawFn, dimensions: int = 1) -> Scores:
    """Scores of up to four layers, with many ties, infinities and zeros of both signs."""
    values = st.integers(-3, 3) | st.sampled_from([-0.0, 0.1, float("inf"), -float("inf")])
    scores = {}
    for i in range(draw(st.integers(1, 4))):
        shape = draw(st.lists(st.integers(1, 5), min_size=dimensions, max_size=dimensions))
        size = int(torch.tensor(shape).prod())
        drawn = draw(st.lists(values, min_size=size, max_size=size))
        scores[f"{2 * i}"] = torch.tensor(drawn, dtype=torch.float32).reshape(shape)
    return scores


def removed(level: str, scores: Scores, sparsity: float, scope: str) -> Units:
    """What the library removes, as (layer, row-major index)."""
    if level == "parameter":
        masks = parameter_masks(scores, sparsity, scope)
        return {(n, i) for n in scores for i, s in enumerate(masks[n].flatten()) if not s}
    kept = kept_neurons(scores, sparsity, scope)
    return {(n, i) for n in scores for i in range(len(scores[n])) if i not in kept[n].tolist()}


def greedily_removed(level: str, scores: Scores, sparsity: float, scope: str) -> Units:
    """One unit at a time: the lowest score that may still go, of equals the first."""
    spare = 1 if level == "neuron" else 0
    units: Units = set()
    for group in [list(scores)] if scope == "global" else [[name] for name in scores]:
        left = {name: scores[name].flatten().tolist() for name in group}
        candidates = {(n, i): score for n in group for i, score in enumerate(left[n])}
        for _ in range(round(sparsity * len(candidates))):
            # min() takes the first of equals, and dictionaries keep their order.
            free = {
                u: s for u, s in candidates.items() if u not in units and len(left[u[0]]) > spare
            }
            if free:
                lowest = min(free, key=lambda unit: free[unit])
                left[lowest[0]].pop()
                units.add(lowest)
    return units


@every_scope
@every_level
@settings(deadline=None)
@given(scores=several_scores(), sparsity=sparsities)
def test_allocation_equals_taking_the_lowest_score_again_and_again(
    level: str, scope: str, scores: Scores, sparsity: float
) -> None:
    assert removed(level, scores, sparsity, scope) == greedily_removed(
        level, scores, sparsity, scope
    )


@every_scope
@settings(deadline=None)
@given(scores=several_scores(dimensions=2), sparsity=sparsities)
def test_exactly_the_rounded_fraction_of_the_weights_goes(
    scope: str, scores: Scores, sparsity: float
) -> None:
    gone = {
        name: int((~mask).sum()) for name, mask in parameter_masks(scores, sparsity, scope).items()
    }
    if scope == "global":
        assert sum(gone.values()) == round(sparsity * sum(s.numel() for s in scores.values()))
    else:
        assert gone == {name: round(sparsity * s.numel()) for name, s in scores.items()}


@settings(deadline=None)
@given(scores=several_scores(dimensions=2), sparsity=sparsities)
def test_no_weight_stays_that_scores_below_a_removed_one(scores: Scores, sparsity: float) -> None:
    masks = parameter_masks(scores, sparsity, "global")
    stays = torch.cat([scores[name][masks[name]] for name in scores])
    goes = torch.cat([scores[name][~masks[name]] for name in scores])
    assert not len(stays) or not len(goes) or goes.max() <= stays.min()


def test_of_equal_scores_the_lowest_index_goes_first_layer_by_layer_and_row_by_row() -> None:
    # Neither names nor sizes decide, the order of the dictionary does.
    scores = {"b": torch.zeros(2, 2), "a": torch.zeros(2, 3)}
    masks = parameter_masks(scores, 0.6, "global")
    assert not masks["b"].any()
    assert masks["a"].tolist() == [[False, False, True], [True, True, True]]
    kept = kept_neurons({"b": torch.zeros(3), "a": torch.zeros(4)}, 0.5, "global")
    assert {name: indices.tolist() for name, indices in kept.items()} == {
        "b": [2],
        "a": [2, 3],
    }


@every_scope
@every_level
@settings(deadline=None)
@given(scores=several_scores(), pair=st.tuples(sparsities, sparsities))
def test_what_a_lower_sparsity_removes_a_higher_one_removes_too(
    level: str, scope: str, scores: Scores, pair: tuple[float, float]
) -> None:
    lower, higher = sorted(pair)
    assert removed(level, scores, lower, scope) <= removed(level, scores, higher, scope)


@every_scope
@every_level
@settings(deadline=None)
@given(
    values=st.lists(st.lists(st.integers(-50, 50), min_size=1, max_size=9), min_size=1, max_size=4),
    sparsity=sparsities,
)
def test_only_the_order_of_the_scores_counts(
    level: str, scope: str, values: list[list[int]], sparsity: float
) -> None:
    scores = {str(i): torch.tensor(v, dtype=torch.float64) for i, v in enumerate(values)}
    transformed = {name: (s**3 + 7 * s - 100).float() for name, s in scores.items()}
    assert removed(level, scores, sparsity, scope) == removed(level, transformed, sparsity, scope)


@every_scope
@settings(deadline=None)
@given(scores=several_scores(), sparsity=sparsities)
def test_every_layer_keeps_a_neuron(scope: str, scores: Scores, sparsity: float) -> None:
    assert all(len(kept) > 0 for kept in kept_neurons(scores, sparsity, scope).values())


def test_a_global_ranking_passes_over_the_last_neuron_of_a_layer() -> None:
    scores = {"0": torch.tensor([1.0, 3.0, 2.0]), "2": torch.tensor([4.0, 6.0, 5.0])}
    kept = kept_neurons(scores, 0.67, "global")
    assert {name: indices.tolist() for name, indices in kept.items()} == {"0": [1], "2": [1]}


@every_scope
def test_masks_are_bool_and_kept_neurons_are_sorted_indices(scope: str) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {"0.weight": (4, 2, 3, 3), "2.weight": (5, 16)}
    scores = {name: torch.rand(shape, generator=generator) for name, shape in weights.items()}
    masks = parameter_masks(scores, 0.5, scope)
    assert {name: tuple(mask.shape) for name, mask in masks.items()} == weights
    assert {mask.dtype for mask in masks.values()} == {torch.bool}
    for indices in kept_neurons({"0": torch.rand(40, generator=generator)}, 0.5, scope).values():
        assert indices.dtype == torch.int64
        assert indices.tolist() == sorted(set(indices.tolist()))


@pytest.mark.parametrize("allocate", [parameter_masks, kept_neurons])
@pytest.mark.parametrize(
    ("scores", "sparsity", "scope", "named"),
    [
        ([1.0, float("nan")], 0.5, "global", "2: .*NaN"),
        ([1.0, float("nan")], 0.5, "layer", "2: .*NaN"),
        ([1.0, 2.0], -0.1, "global", "-0.1"),
        ([1.0, 2.0], 1.0, "layer", "1.0"),
        ([1.0, 2.0], float("nan"), "layer", "nan"),
        ([1.0, 2.0], 0.5, "network", "network"),
    ],
)
def test_scores_from_which_no_allocation_follows_are_refused_by_name(
    allocate: Callable[[Scores, float, str], object],
    scores: list[float],
    sparsity: float,
    scope: str,
    named: str,
) -> None:
    with pytest.raises(AllocationError, match=named):
        allocate({"0": torch.ones(3), "2": torch.tensor(scores)}, sparsity, scope)
