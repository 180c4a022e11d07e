"""`score`: run any criterion by name, and check its arguments and its result."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from minified.criteria.record import CRITERIA, Criterion, parse_method
from minified.foundations.errors import ScoreError
from minified.networks import chains

if TYPE_CHECKING:
    from minified.criteria.derivatives import Derivatives


def score(
    method: str,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    seed: int,
    *,
    registry: Mapping[str, Criterion] = CRITERIA,
    derivatives: "Mapping[str, Derivatives] | None" = None,
    **options: Any,
) -> dict[str, Tensor]:
    """Score every removable unit of `network`; the lowest score goes first.

    Args:
        method: `parameter-obd`, `neuron-merging`, ...
        network: a chain of layers (see `minified.networks.chains`); not changed.
        inputs: (N, ...) examples, all of them used. targets: (N,) class indices.
        seed: seeds the criterion's own draws; deterministic criteria ignore it.
        registry: the known criteria, `CRITERIA` unless a study adds its own.
        derivatives: the result of `derivatives.derivatives` for this network, level and examples,
            for the criteria that use it; computed if left out.
        options: the criterion's options, e.g. `passes=100` for dropout_damage.

    Returns:
        In the network's order: at parameter level `{"0.weight": (out, in, ...)}`, at neuron level
        `{"0": (neurons,)}`.

    Raises:
        ScoreError: unknown method or option, no examples, or scores that are not numbers.
        UnsupportedNetworkError: the network is not such a chain; names the module.
    """
    level, name = parse_method(method, registry)
    criterion = registry[name]
    for key, value in options.items():
        if key not in criterion.options:
            raise ScoreError(
                f"criterion {name} has no option {key!r}; it takes {sorted(criterion.options)}"
            )
        if problem := criterion.options[key].problem(value):
            raise ScoreError(f"criterion {name}, option {key}: {value!r} must be {problem}")
    if len(inputs) == 0 or len(inputs) != len(targets):
        raise ScoreError(
            f"{method}: needs as many targets as inputs and at least one,"
            f" got {len(inputs)} inputs and {len(targets)} targets"
        )
    if targets.dtype != torch.int64 or int(targets.min()) < 0:
        raise ScoreError(f"{method}: targets must be class indices (int64, from 0)")
    settings: dict[str, Any] = {
        key: options.get(key, option.default) for key, option in criterion.options.items()
    }
    if criterion.derivatives:
        settings["derivatives"] = derivatives
    generator = torch.Generator().manual_seed(seed)
    scores = criterion.function()(level, network, inputs, targets, generator, **settings)
    if not isinstance(scores, dict) or not all(torch.is_tensor(s) for s in scores.values()):
        raise ScoreError(f"{method}: {criterion.file} must return {{layer: tensor of scores}}")

    shapes = chains.unit_shapes(network, level)
    if set(scores) != set(shapes):
        raise ScoreError(f"{method}: scored {sorted(scores)}, but the units are {sorted(shapes)}")
    for key, shape in shapes.items():
        if tuple(scores[key].shape) != shape:
            raise ScoreError(f"{method}: {key} has shape {tuple(scores[key].shape)}, not {shape}")
        if not bool(torch.isfinite(scores[key]).all()):
            raise ScoreError(f"{method}: {key} has scores that are not finite numbers")
    return {key: scores[key].detach() for key in shapes}
