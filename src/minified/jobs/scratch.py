"""`minified scratch`: fresh networks of the widths that a sparsity leaves, trained once for all.

Where neurons are removed layer by layer, every criterion leaves the same widths, and retraining
from scratch depends on nothing else of the criterion. So one run serves them all.
"""

from torch import nn

from minified import pruning
from minified.foundations.errors import StudyError
from minified.jobs.fitting import FittingContext
from minified.networks import chains
from minified.study.paths import Paths
from minified.study.studies import Study
from minified.training.loop import clones


def scratch(study: Study, paths: Paths, sparsity: str, regime: str = "scratch") -> None:
    """Train fresh networks of all replicates; save them for the jobs of the methods.

    Raises:
        StudyError: the study's methods leave different widths, or the regime does not start from
            fresh weights.
    """
    # The scope may be another one: specifications with the scope `layer` share the base's run.
    if study.grid.neuron is None or study.regime(regime).start != "fresh":
        raise StudyError(
            f"{study.file}: no two methods share a run of {regime}: that takes a grid.neuron, and a"
            " regime that starts from fresh weights"
        )
    context = FittingContext(study, paths)
    seeds = context.seeds(study.regime(regime).seeds)
    smaller = _narrowed(context.build(), float(sparsity))
    networks = [
        context.fresh(network, seed)
        for network, seed in zip(clones([smaller] * len(seeds)), seeds, strict=True)
    ]
    name = f"any method, sparsity {sparsity}, regime {regime}"
    curve = context.fit(name, networks, study.recipe(regime, "neuron"), seeds)
    context.keep(
        paths.scratch(regime, sparsity),
        {f"{r}/final": one for r, one in zip(context.replicates, networks, strict=True)},
        {"sparsity": float(sparsity)},
    )
    context.write_curves(paths.curve("scratch", regime, sparsity), [curve])


def _narrowed(network: nn.Module, sparsity: float) -> nn.Module:
    kept = {
        layer.name: list(range(layer.neurons - pruning.removed_per_layer(layer.neurons, sparsity)))
        for layer in chains.read(network).hidden
    }
    return pruning.remove_neurons(network, kept)
