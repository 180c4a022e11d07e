"""The properties of a criterion that a study relies on, tried on one small network.

`of(criterion, level, "perceptron")` returns them by name; `minified.run.trial` makes lines of them.
"""

import copy
import hashlib
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from minified.criteria import guard, returned, scoring
from minified.criteria.record import CRITERIA, Criterion
from minified.foundations.errors import MinifiedError, UnsupportedNetworkError
from minified.networks import builder, chains
from minified.run import observed

SEED = 2306
EXAMPLES = 250
TIMED = 1_000
TOLERANCE = 1e-5
"""How much another order of the examples may change a score, relative to the layer's largest."""

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "perceptron": ("mlp", {"widths": [24, 16]}),
    "convolutions": ("vgg", {"channels": [[6, 8], [10]], "widths": [12]}),
}
"""The networks, by what they are called here: architecture and options."""

Mark = Literal["ok", "note", "FAILED"]
Properties = dict[str, tuple[Mark, str]]
"""By name: whether the criterion has the property, and the detail."""

_SHAPE, _CLASSES = (1, 8, 8), 10


@dataclass(frozen=True)
class _Task:
    """A small network and examples: always the same ones."""

    network: nn.Module
    inputs: Tensor
    targets: Tensor


def of(criterion: Criterion, level: str, network: str, elsewhere: str | None) -> Properties:
    """The properties of a criterion at one level, up to the first that makes others meaningless.

    Args:
        network: one of `NETWORKS`.
        elsewhere: the digest of its scores in another process.
    """
    task = _task(network)
    found: Properties = {}
    try:
        raw = _watched(criterion, level, task, found)
    except MinifiedError as error:
        unsupported = isinstance(error.__cause__, UnsupportedNetworkError)
        return {"runs": ("note" if unsupported else "FAILED", str(error))}
    shapes = chains.unit_shapes(task.network, level)
    for name, check in returned.CHECKS.items():
        problem = check(raw, shapes)
        found[name] = ("FAILED", problem) if problem else ("ok", _DETAILS[name](raw))
        if problem:
            return found
    score = scored(criterion, level, task)
    try:
        scores, again, other = score(SEED), score(SEED), score(SEED + 1)
        found["deterministic"] = _deterministic(scores, again, elsewhere)
        draws = not _same(scores, other)
        found["draws"] = (
            "note",
            ("another seed gives other scores" if draws else "another seed gives the same scores"),
        )
        found["order of examples"] = _order(criterion, level, task, scores, draws)
        score = scored(criterion, level, _task(network, TIMED))
        begin = time.perf_counter()
        score(SEED)
        spent = time.perf_counter() - begin
    except MinifiedError as error:
        return found | {"runs again": ("FAILED", str(error))}
    size = sum(parameter.numel() for parameter in task.network.parameters())
    found["seconds per 1,000"] = "note", f"{spent:.2g} s for 1,000 examples, {size:,} parameters"
    return found


def scored(
    criterion: Criterion, level: str, task: "_Task | str"
) -> Callable[[int], dict[str, Tensor]]:
    """What scores with a criterion, as jobs do, for a seed."""
    here = _task(task) if isinstance(task, str) else task

    def score(seed: int) -> dict[str, Tensor]:
        with redirect_stdout(sys.stderr):
            return scoring.score(
                f"{level}-{criterion.name}",
                here.network,
                here.inputs,
                here.targets,
                seed,
                registry=CRITERIA | {criterion.name: criterion},
            )

    return score


def digest(scores: Mapping[str, Tensor]) -> str:
    """A checksum of all bits of scores."""
    whole = hashlib.sha256()
    for name, values in scores.items():
        whole.update(f"{name} {values.dtype}".encode())
        whole.update(values.cpu().numpy().tobytes())
    return whole.hexdigest()


def _task(network: str, examples: int = EXAMPLES) -> _Task:
    generator = torch.Generator().manual_seed(SEED)
    inputs = torch.randn(examples, *_SHAPE, generator=generator)
    targets = torch.randint(_CLASSES, (examples,), generator=generator)
    name, options = NETWORKS[network]
    made = builder.initialise(builder.build(name, _SHAPE, _CLASSES, **options), SEED)
    with torch.no_grad():
        made.train()(inputs)  # so that batch normalisation has statistics
    return _Task(made.eval(), inputs, targets)


def _watched(criterion: Criterion, level: str, task: _Task, found: Properties) -> Any:
    """What the criterion returns; to `found` is added what it has changed.

    It gets what `scoring.score` would keep from its reach: a network and examples to watch.
    """
    network, examples = copy.deepcopy(task.network), (task.inputs.clone(), task.targets.clone())
    settings: dict[str, Any] = dict(scoring.settings_of(criterion, {}))
    settings |= {"derivatives": None} if criterion.derivatives else {}
    generator = torch.Generator().manual_seed(SEED)
    with guard.seeded(SEED), redirect_stdout(sys.stderr):
        before, drawn = observed.state(network), observed.generators()
        raw = guard.run(criterion, (level, network, *examples, generator), settings)
        after, drawn_after = observed.state(network), observed.generators()
    changed = observed.changes(before, after)
    found["network"] = (
        ("FAILED", f"changes {', '.join(changed)}") if changed else ("ok", "as it was")
    )
    kept = torch.equal(examples[0], task.inputs) and torch.equal(examples[1], task.targets)
    found["examples"] = ("ok", "as they were") if kept else ("FAILED", "changes them in place")
    names = [name for name, state in drawn.items() if state != drawn_after[name]]
    found["global generators"] = (
        ("note", f"draws from {', '.join(names)}: a job seeds that, and restores it afterwards")
        if names
        else ("ok", "as they were")
    )
    return raw


_DETAILS: dict[str, Callable[[Mapping[str, Tensor]], str]] = {
    "tensors": lambda raw: "one per layer",
    "shapes": lambda raw: "one score per unit",
    "real numbers": lambda raw: ", ".join(
        sorted({str(values.dtype).removeprefix("torch.") for values in raw.values()})
    ),
    "finite": lambda raw: "all scores",
}


def _deterministic(
    scores: dict[str, Tensor], again: dict[str, Tensor], elsewhere: str | None
) -> tuple[Mark, str]:
    if not _same(scores, again):
        return "FAILED", scoring.UNREPEATABLE
    if elsewhere is not None and digest(scores) != elsewhere:
        return "FAILED", (
            "gives other scores in another process: it depends on hash(), on the order of a set,"
            " or on the process itself"
        )
    return "ok", "the same seed gives the same bits, here and in another process"


def _order(
    criterion: Criterion, level: str, task: _Task, scores: dict[str, Tensor], draws: bool
) -> tuple[Mark, str]:
    """Whether the order of the examples makes a difference."""
    order = torch.randperm(len(task.inputs), generator=torch.Generator().manual_seed(SEED))
    mixed = _Task(task.network, task.inputs[order], task.targets[order])
    other = scored(criterion, level, mixed)(SEED)
    most = max(
        (
            float((other[name] - values).abs().max() / values.abs().max().clamp(min=1e-300))
            for name, values in scores.items()
        ),
        default=0.0,
    )
    if most <= TOLERANCE:
        return "ok", "makes no difference" if most == 0 else f"differences of at most {most:.0e}"
    if draws:
        return "note", "cannot be tried, since the criterion draws"
    return "FAILED", f"another order of the examples changes scores by {most:.1%} of the largest"


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return digest(one) == digest(other)
