"""`minified prepare`: the raw data set as training, validation and test tensors."""

from pathlib import Path

from minified import data
from minified.errors import StudyError
from minified.paths import Paths
from minified.study import Study


def prepare(study: Study, paths: Paths, root: Path) -> None:
    """Load, split and normalise the study's data set, and keep it as safetensors."""
    try:
        dataset = data.load(
            study.data.name,
            root,
            validation=study.data.validation,
            test=study.data.test,
            seed=study.seed,
            training_examples=study.data.training_examples,
        )
    except StudyError as error:
        raise StudyError(f"{study.file}: {error}") from None
    data.save(dataset, paths.data, study.data.name)
