"""`minified derivatives`: what OBD and its variants need, computed once for all of them."""

from torch import Tensor

from minified.criteria import derivatives as second_order
from minified.foundations import files
from minified.jobs.context import Context
from minified.study.paths import Paths
from minified.study.studies import Study


def derivatives(study: Study, paths: Paths, level: str) -> None:
    """Differentiate all replicates' baselines on the saliency examples, at one level."""
    context = Context(study, paths)
    examples = context.saliency
    tensors: dict[str, Tensor] = {}
    for replicate, network in zip(context.replicates, context.baselines(), strict=True):
        by_layer = second_order.derivatives(network, examples.inputs, examples.targets, level)
        for name, values in by_layer.items():
            for quantity, tensor in vars(values).items():
                tensors[f"{replicate}/{name}/{quantity}"] = tensor
    files.write_tensors(paths.derivatives(level), tensors, {"level": level})
