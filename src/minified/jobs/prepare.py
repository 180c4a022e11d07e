"""`minified prepare`: the raw data set as training, validation and test tensors."""

from pathlib import Path

from minified import data
from minified.paths import Paths
from minified.study import Study


def prepare(study: Study, paths: Paths, root: Path) -> None:
    """Load, split and normalise the study's data set, and keep it as safetensors."""
    dataset = data.load(
        study.data.name,
        root,
        validation=study.data.validation,
        test=study.data.test,
        seed=study.seed,
    )
    data.save(dataset, paths.data, study.data.name)
