"""The trainings of a study whose curves are kept: which job each one is, and its lines."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from minified.foundations import files
from minified.foundations.errors import ArtefactError
from minified.study.paths import Paths
from minified.study.regimes import ROUNDINGS
from minified.study.rows import EPOCH_COLUMNS
from minified.study.studies import Study


@dataclass(frozen=True)
class Training:
    """One training of all replicates, as tables/curves.csv names it.

    `method` is empty for the baselines, and the level for networks that its methods share.
    `earlier`: how many rounds of its networks another training has done before it.
    """

    stage: str
    method: str = ""
    sparsity: str = ""
    bits: str = ""
    regime: str = "train"
    earlier: int = 0

    def file(self, paths: Paths) -> Path:
        """The curve that its job writes."""
        match self.stage:
            case "train":
                return paths.curve("train")
            case "scratch":
                return paths.curve("scratch", self.regime, self.sparsity)
            case "quantize":
                return paths.curve("quantize", self.bits, self.regime)
        return paths.curve(self.stage, self.method, self.sparsity, self.regime)

    def read(self, study: Study, paths: Paths) -> list[dict[str, str]]:
        """Its lines of tables/curves.csv, with six significant digits, enough for any figure.

        Raises:
            ArtefactError: its curve is missing or damaged, or lacks an epoch or a replicate.
        """
        path = self.file(paths)
        lines = files.read_rows(path, EPOCH_COLUMNS)
        if [line["epoch"] for line in lines if line["round"] == "1"][:1] != ["1"]:
            raise ArtefactError(path, "has no first epoch")
        for number, line in enumerate(lines, start=2):
            if line["replicates"] != str(study.replicates):
                raise ArtefactError(
                    path,
                    f"line {number}: has {line['replicates']} replicates, not {study.replicates}",
                )
            for column in EPOCH_COLUMNS[3:]:
                line[column] = _shorter(path, number, column, line[column])
            line["round"] = self._round(path, number, line["round"])
        place = asdict(self)
        del place["earlier"]
        return [place | line for line in lines]

    def _round(self, path: Path, number: int, text: str) -> str:
        """The round of a network's whole schedule; a job's curve counts its own from 1."""
        if not text.isdecimal():
            raise ArtefactError(path, f"line {number}: round is {text!r}, not a whole number")
        return str(self.earlier + int(text))


def _shorter(path: Path, number: int, column: str, text: str) -> str:
    try:
        value = float(text) if text or not column.endswith("_sd") else None
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise ArtefactError(path, f"line {number}: {column} is {text!r}, not a finite number")
    return "" if value is None else f"{value:.6g}"


def trainings(study: Study) -> Iterator[Training]:
    """Every training of a study: of the baselines, of shared networks, then job by job."""
    yield Training("train")
    for level in study.levels:
        grid = study.pruning(level)
        for regime in grid.regimes:
            if any(study.shares_scratch(f"{level}-{c}", regime) for c in grid.criteria):
                for sparsity in grid.sparsities:
                    yield Training("scratch", level, repr(sparsity), regime=regime)
    for job in study.jobs():
        if job.method == "quantization":
            if ROUNDINGS[job.regime].trains:
                yield Training("quantize", job.method, bits=job.place, regime=job.regime)
            continue
        earlier = 0
        if study.iterated(job.level, job.regime) == job.regime:
            earlier = study.rounds(job.level) - 1
            yield Training("iterate", job.method, job.place, regime=job.regime)
        if not study.shares_scratch(job.method, job.regime):
            place = (job.method, job.place)
            yield Training("retrain", *place, regime=job.regime, earlier=earlier)
