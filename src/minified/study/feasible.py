"""What no run of a study can finish, known from its settings and its data set, without torch.

Each of these would end a job in an error, some of them the last ones of a run.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from minified.criteria.record import Criterion
from minified.data.catalogue import CATALOGUE, Entry
from minified.networks import architectures
from minified.networks.architectures import Plan
from minified.study.refusals import refusal

if TYPE_CHECKING:
    from minified.study.settings import DataOptions, Settings

MOST = 10**9 - 1
"""The most passes and examples that a study may ask for."""


def check(study: "Settings", plan: Plan, criteria: dict[str, Criterion]) -> None:
    """Refuse, by its key, what cannot be finished.

    Args:
        plan: the layers of the study's network.
        criteria: the criteria that the study knows, by name.

    Raises:
        RefusedError: key, value and what is allowed.
    """
    entry = CATALOGUE[study.data.name]
    _splits(study.data, entry)
    if study.grid.neuron is None:
        return
    neurons = architectures.hidden_neurons(plan)
    for name in study.grid.neuron.criteria:
        if criteria[name].removal is not None and max(neurons) == 1:
            key = "channels" if "channels" in type(study.network).model_fields else "widths"
            raise refusal(
                ("network", key),
                getattr(study.network, key),
                f"must give some hidden layer two neurons, since grid.neuron.criteria has {name},"
                " which replaces a neuron by another of its layer",
            )
        if criteria[name].dropout:
            _drops(study, entry, criteria[name], sum(neurons))


def _splits(data: "DataOptions", entry: Entry) -> None:
    """Each split needs an example of each class; `minified.data.stratified` rounds as here."""
    if data.training_examples is not None and data.training_examples < entry.classes:
        raise refusal(
            ("data", "training_examples"),
            data.training_examples,
            f"must be at least {entry.classes}, since {data.name} has so many classes",
        )
    if not entry.counts:
        return
    smallest = min(entry.counts)
    for split in ("validation", *([] if entry.own_test else ["test"])):
        fraction = getattr(data, split)
        if round(fraction * smallest) == 0:
            raise refusal(
                ("data", split),
                fraction,
                f"must be above {0.5 / smallest:.4g}, since a class of {data.name} has {smallest}"
                f" examples and each needs one in the {split} split",
            )
    if min(_training(data, entry)) == 0:
        allowed = "must leave each class a training example"
        raise refusal(("data", "validation"), data.validation, allowed)


def _training(data: "DataOptions", entry: Entry) -> list[int]:
    """How many examples of each class are for training, before `training_examples` are chosen."""
    test = 0.0 if entry.own_test else data.test
    return [n - round(data.validation * n) - round(test * n) for n in entry.counts]


def _drops(study: "Settings", entry: Entry, criterion: Criterion, neurons: int) -> None:
    """Refuse so few random masks that in all probability some neuron is never dropped, or never
    kept: scoring then ends in an error.
    """
    options = study.options.get(criterion.name, {})
    chosen = {key: options.get(key, option.default) for key, option in criterion.options.items()}
    probability, passes = float(chosen["probability"]), int(chosen["passes"])
    examples = min(study.data.saliency_examples, study.data.training_examples or MOST)
    if entry.counts:
        examples = min(examples, sum(_training(study.data, entry)))

    def left_out(passes: int) -> float:
        """The neurons of all replicates that are expected to be left out."""
        pairs = passes * examples
        never_dropped = math.exp(pairs * math.log1p(-probability))
        never_kept = math.exp(pairs * math.log(probability))
        return neurons * study.replicates * (never_dropped + never_kept)

    if left_out(passes) < 1.0:
        return
    enough = next((more for more in _doubled(passes) if left_out(more) < 0.001), None)
    key, value, allowed = "passes", chosen["passes"], f"must be more: {enough} would do"
    if enough is None:
        key, value, allowed = "probability", probability, "must be farther from 0 and 1"
    raise refusal(
        ("options", criterion.name, key),
        value,
        f"{allowed}, so that each of {neurons} neurons in {study.replicates} replicates is dropped,"
        f" and kept, in {passes} passes over {examples} saliency examples",
    )


def _doubled(passes: int) -> Iterator[int]:
    while passes < MOST:
        passes *= 2
        yield min(passes, MOST)
