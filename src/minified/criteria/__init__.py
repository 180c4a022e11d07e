"""Selection criteria: each scores the units of a network by how much damage their removal does.

`score("parameter-obd", network, inputs, targets, seed)` returns one tensor per layer; the lowest
score goes first. A criterion is one function in one file and one line in `CRITERIA`; allocation
and masking are not its business (see `minified.pruning`). Importing this module imports no torch.
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minified.errors import ScoreError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from minified.criteria.obd import Derivatives

LEVELS = ("parameter", "neuron")


@dataclass(frozen=True)
class Option:
    """A number that a criterion takes: its default and the open or closed interval allowed."""

    default: int | float
    at_least: float | None = None
    above: float | None = None
    below: float | None = None

    def problem(self, value: Any) -> str | None:
        """Say what is allowed if `value` is not, else None."""
        kind = "an integer" if isinstance(self.default, int) else "a number"
        allowed = [kind]
        allowed += [f"at least {self.at_least:g}"] if self.at_least is not None else []
        allowed += [f"above {self.above:g}"] if self.above is not None else []
        allowed += [f"below {self.below:g}" if self.below is not None else "below 1e9"]
        numeric = int if isinstance(self.default, int) else (int, float)
        good = (
            isinstance(value, numeric)
            and not isinstance(value, bool)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and abs(value) < 1e9
        )
        return None if good else " ".join(allowed)


@dataclass(frozen=True)
class Criterion:
    """Where a criterion lives and how it is shown.

    `module` is a module of this package (`minified.criteria.obd`) or the path of a reader's own
    file; the function there bears the criterion's name and is called as
    `function(level, network, inputs, targets, generator, **options)`.
    """

    name: str
    module: str
    levels: tuple[str, ...]
    title: str
    options: Mapping[str, Option] = field(default_factory=dict)
    derivatives: bool = False
    """Whether it reads `minified.criteria.obd.derivatives`, which jobs compute once for all."""

    @property
    def file(self) -> Path:
        """The source file whose edit makes this criterion's results stale."""
        if self.module.endswith(".py"):
            return Path(self.module)
        return Path(__file__).parent / (self.module.rpartition(".")[2] + ".py")

    def function(self) -> Callable[..., "dict[str, Tensor]"]:
        """Import the criterion's module and return its function."""
        if self.module.endswith(".py"):
            spec = importlib.util.spec_from_file_location(f"minified_plugin_{self.name}", self.file)
            if spec is None or spec.loader is None or not self.file.is_file():
                raise ScoreError(f"criterion {self.name}: {self.module} is not a Python file")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(self.module)
        function = getattr(module, self.name, None)
        if not callable(function):
            raise ScoreError(f"criterion {self.name}: {self.module} has no function {self.name}()")
        return function


_OBD = "minified.criteria.obd"

CRITERIA: dict[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        Criterion("random", "minified.criteria.random", LEVELS, "random"),
        Criterion("magnitude", "minified.criteria.magnitude", LEVELS, "magnitude"),
        Criterion("obd", _OBD, LEVELS, "OBD", derivatives=True),
        Criterion("obd_sd", _OBD, LEVELS, "OBD-SD (standard deviation)", derivatives=True),
        Criterion("obd_signed", _OBD, LEVELS, "OBD-SD (signed damage)", derivatives=True),
        Criterion("obd_absolute", _OBD, LEVELS, "OBD-SD (absolute damage)", derivatives=True),
        Criterion(
            "dropout_damage",
            "minified.criteria.dropout_damage",
            ("neuron",),
            "dropout damage",
            {
                "probability": Option(0.1, above=0.0, below=1.0),
                "passes": Option(50, at_least=2),
            },
        ),
        Criterion("merging", "minified.criteria.merging", ("neuron",), "merging"),
    )
}

READINGS = ("obd_sd", "obd_signed", "obd_absolute")
"""The criteria that read the abstract's "OBD-SD"; which one the authors meant is not known."""


def parse_method(method: str, registry: Mapping[str, Criterion] = CRITERIA) -> tuple[str, str]:
    """Split `parameter-obd` into level and criterion; raise ScoreError for anything unknown."""
    level, _, criterion = method.partition("-")
    if level not in LEVELS or criterion not in registry:
        known = [f"{lev}-{name}" for name, entry in registry.items() for lev in entry.levels]
        raise ScoreError(f"unknown method {method!r}; known are {', '.join(sorted(known))}")
    if level not in registry[criterion].levels:
        allowed = ", ".join(registry[criterion].levels)
        raise ScoreError(f"method {method!r}: {criterion} works at level {allowed} only")
    return level, criterion


def score(
    method: str,
    network: "nn.Module",
    inputs: "Tensor",
    targets: "Tensor",
    seed: int,
    *,
    registry: Mapping[str, Criterion] = CRITERIA,
    derivatives: "Mapping[str, Derivatives] | None" = None,
    **options: Any,
) -> "dict[str, Tensor]":
    """Score every removable unit of `network`; the lowest score goes first.

    Args:
        method: `parameter-obd`, `neuron-merging`, ...
        network: a chain of layers (see `minified.chains`); it is left as it was.
        inputs: (N, ...) examples, used whole. targets: (N,) class indices.
        seed: seeds the criterion's own draws; deterministic criteria ignore it.
        registry: the known criteria, `CRITERIA` unless a study adds its own.
        derivatives: what `obd.derivatives` gave for this network, level and examples, for the
            criteria that read it; computed if left out.
        options: the criterion's options, e.g. `passes=100` for dropout_damage.

    Returns:
        In the network's order: at parameter level `{"0.weight": (out, in, ...)}`, at neuron level
        `{"0": (neurons,)}`.

    Raises:
        ScoreError: unknown method or option, no examples, or scores that are not numbers.
        UnsupportedNetworkError: the network is not such a chain; names the module.
    """
    import torch

    from minified import chains

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
        raise ScoreError(f"{method}: {criterion.module} must return {{layer: tensor of scores}}")

    shapes = chains.unit_shapes(network, level)
    if set(scores) != set(shapes):
        raise ScoreError(f"{method}: scored {sorted(scores)}, but the units are {sorted(shapes)}")
    for key, shape in shapes.items():
        if tuple(scores[key].shape) != shape:
            raise ScoreError(f"{method}: {key} has shape {tuple(scores[key].shape)}, not {shape}")
        if not bool(torch.isfinite(scores[key]).all()):
            raise ScoreError(f"{method}: {key} has scores that are not finite numbers")
    return {key: scores[key].detach() for key in shapes}
