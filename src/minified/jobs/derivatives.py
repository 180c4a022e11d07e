"""`minified derivatives`: what OBD and its variations read, computed once for all of them."""

from torch import Tensor

from minified import files
from minified.criteria import obd
from minified.jobs import common
from minified.paths import Paths
from minified.study import Study


def derivatives(study: Study, paths: Paths, level: str) -> None:
    """Differentiate all replicates' baselines on the saliency examples, at one level."""
    dataset = common.read_data(study, paths)
    baselines = common.read_baselines(study, dataset, paths.baseline, "final")
    examples = dataset.training.first(study.data.saliency_examples)
    tensors: dict[str, Tensor] = {}
    for replicate, network in enumerate(baselines):
        found = obd.derivatives(network, examples.inputs, examples.targets, level)
        for name, values in found.items():
            for quantity, tensor in vars(values).items():
                tensors[f"{replicate}/{name}/{quantity}"] = tensor
    files.write_tensors(paths.derivatives(level), tensors, {"level": level})
