"""`minified scratch`: fresh networks of the widths that a sparsity leaves, trained once for all.

Where neurons are removed layer by layer, every criterion leaves the same widths, and retraining
from scratch knows nothing else of the criterion: one run serves them all.
"""

from torch import nn

from minified import chains, pruning
from minified.jobs import common
from minified.paths import Paths
from minified.study import Study
from minified.training import clones


def scratch(study: Study, paths: Paths, sparsity: str) -> None:
    """Train fresh networks of all replicates; keep them for the methods' own jobs."""
    dataset = common.read_data(study, paths)
    run = common.run_seeds(study, "scratch")
    smaller = _narrowed(common.build(study, dataset), float(sparsity))
    networks = [
        common.fresh(network, seed)
        for network, seed in zip(clones([smaller] * len(run)), run, strict=True)
    ]
    common.fit(
        common.job_name(study, "any method", f"sparsity {sparsity}", "scratch"),
        networks,
        dataset.training,
        study.recipes.of("scratch"),
        None,
        run,
    )
    common.write_networks(
        paths.scratch(sparsity),
        {f"{r}/final": network for r, network in enumerate(networks)},
        {"sparsity": float(sparsity)},
    )


def _narrowed(network: nn.Module, sparsity: float) -> nn.Module:
    kept = {
        layer.name: list(range(layer.neurons - pruning.removed_per_layer(layer.neurons, sparsity)))
        for layer in chains.read(network).hidden
    }
    return pruning.remove_neurons(network, kept)
