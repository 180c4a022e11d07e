"""`score`: run any criterion by name, and check its arguments and its result."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from minified.criteria import guard, returned
from minified.criteria.record import CRITERIA, Criterion, parse_method
from minified.foundations import arguments
from minified.foundations.errors import ScoreError
from minified.networks import chains, earlier, examples

if TYPE_CHECKING:
    from minified.criteria.derivatives import Derivatives

UNREPEATABLE = (
    "gives other scores when it is run again with the same seed: it depends on the time, on an"
    " earlier call, or on a generator that nothing seeds, such as numpy.random.default_rng();"
    " draw from the `generator` that it is given"
)
"""What is wrong with a criterion whose scores cannot be repeated."""


def score(
    method: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    seed: int,
    *,
    registry: Mapping[str, Criterion] = CRITERIA,
    derivatives: "Mapping[str, Derivatives] | None" = None,
    masks: Mapping[str, Tensor] | None = None,
    **options: Any,
) -> dict[str, Tensor]:
    """Score every removable unit of `network`; the lowest score goes first.

    The global random generators of torch, NumPy and Python are seeded from `seed` while the
    criterion runs, and then restored: a criterion that draws from them gives the same scores for
    the same seed, and nothing outside notices. A reader's own criterion gets copies of the network
    (in eval mode) and of the examples.

    Args:
        method: `parameter-obd`, `neuron-merging`, ...
        network: a chain of layers (see `minified.networks.chains`); not changed.
        inputs: (N, ...) examples, all of them used. targets: (N,) class indices.
        seed: seeds the criterion's own draws; deterministic criteria ignore it.
        registry: the known criteria, `CRITERIA` unless a study adds its own.
        derivatives: the result of `derivatives.derivatives` for this network, level and examples,
            for the criteria that use it; computed if left out.
        masks: per layer which units stay (bool), if some are removed already, as weights that are 0
            in `network`. The scores of these are 0, whatever the criterion says.
        options: the criterion's options, e.g. `passes=100` for dropout_damage.

    Returns:
        In the network's order: at parameter level `{"0.weight": (out, in, ...)}`, at neuron level
        `{"0": (neurons,)}`; float32 or float64 (see `minified.criteria.returned`).

    Raises:
        ScoreError: unknown method or option, masks that do not fit, examples that the network
            cannot be run on, or scores that are not real numbers.
        CriterionError: a reader's own criterion raised an error; names its file and line.
        UnsupportedNetworkError: the network is not such a chain; names the module.
    """
    level, name = parse_method(arguments.text("method", method, ScoreError), registry)
    criterion = registry[name]
    settings: dict[str, Any] = dict(settings_of(criterion, options))
    examples.check(chains.read(network), inputs, targets, error=ScoreError, of=f"{method}: ")
    if criterion.derivatives:
        settings["derivatives"] = derivatives
    shapes = chains.unit_shapes(network, level)
    gone = None if masks is None else earlier.removed(masks, shapes, ScoreError)
    seed = arguments.seed(seed)
    generator = torch.Generator().manual_seed(seed)
    given = (level, network, inputs, targets, generator)
    with guard.seeded(seed):
        if criterion.built_in:
            return returned.taken(method, criterion.function()(*given, **settings), shapes, gone)
        scores = returned.taken(method, guard.call(criterion, *given, settings), shapes, gone)
    # Each with memory of its own: a reader's criterion may return one tensor for several layers.
    return {
        key: values.clone(memory_format=torch.contiguous_format) for key, values in scores.items()
    }


def settings_of(criterion: Criterion, options: Mapping[str, Any]) -> dict[str, int | float]:
    """All options of a criterion: those given, and the defaults of the others.

    Raises:
        ScoreError: an option that it does not have, or a value that is not allowed.
    """
    for key, value in options.items():
        if key not in criterion.options:
            raise ScoreError(
                f"criterion {criterion.name} has no option {key!r};"
                f" it takes {sorted(criterion.options)}"
            )
        if problem := criterion.options[key].problem(value):
            raise ScoreError(
                f"criterion {criterion.name}, option {key}: {value!r} must be {problem}"
            )
    # A study may write 2 for 2.0.
    return {
        key: type(option.default)(options.get(key, option.default))
        for key, option in criterion.options.items()
    }
