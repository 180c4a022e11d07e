"""`minified prepare`: the raw data set as training, validation and test tensors."""

from pathlib import Path

from minified.data import dataset
from minified.foundations.errors import StudyError
from minified.study.paths import Paths
from minified.study.studies import Study


def prepare(study: Study, paths: Paths, root: Path | None = None) -> None:
    """Load, split and normalise the study's data set, and save it as safetensors."""
    chosen = study.data
    try:
        made = dataset.load(
            chosen.name,
            root or study.raw_data,
            validation=chosen.validation,
            test=chosen.test,
            seed=study.seed,
            training_examples=chosen.training_examples,
        )
    except StudyError as error:
        raise StudyError(f"{study.file}: {error}") from None
    dataset.save(made, paths.data, chosen.name)
