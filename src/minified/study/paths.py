"""Where every file of a study is; both the rules and the command line take paths from here."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from minified.study.methods import Job
from minified.study.specifications import BASE

Places = Callable[[Path], Path]

SPECIFICATIONS = "specifications"
"""The folder, below a study's results, of what its specifications do not share with its base."""
BLOCKS = "blocks"
"""The folder, below those of a specification, of what is made of some of the replicates."""


@dataclass(frozen=True)
class Paths:
    """The files of one study under `results/STUDY/`.

    `places`: for the files of one of its specifications. It is given where a file would be if no
    other specification had it (`parameter-obd/scores.safetensors`), and returns where it is.
    `others`: returns the `places` of a specification, by name.
    `block`: for the files of one block of replicates, by its name. The data belong to no block.
    """

    study: str
    results: Path = Path("results")
    places: Places | None = field(default=None, compare=False)
    others: Callable[[str], Places] | None = field(default=None, compare=False)
    block: str = ""

    @property
    def root(self) -> Path:
        return self.results / self.study

    def under(self, specification: str) -> "Paths":
        """The files of another specification of the study."""
        return replace(self, places=self.others(specification)) if self.others else self

    def owner(self, file: Path) -> str:
        """The specification that a file in the study's results belongs to."""
        parts = file.relative_to(self.root).parts
        return parts[1] if parts[0] == SPECIFICATIONS else BASE

    def _at(self, *parts: str) -> Path:
        """Where a file is that each specification and each block may have."""
        return self._shared(in_block(self.block, Path(*parts)))

    def _shared(self, place: Path) -> Path:
        """Where a file is that each specification may have."""
        return self.root / (self.places(place) if self.places else place)

    @property
    def data(self) -> Path:
        return self._shared(Path("data.safetensors"))

    @property
    def baseline(self) -> Path:
        return self._at("baseline.safetensors")

    @property
    def baseline_rows(self) -> Path:
        return self._at("baseline.csv")

    def derivatives(self, level: str) -> Path:
        return self._at("derivatives", f"{level}.safetensors")

    def scratch(self, regime: str, sparsity: str) -> Path:
        """The networks shared by all methods that leave the same widths."""
        return self._at("scratch", regime, f"{sparsity}.safetensors")

    def scores(self, method: str) -> Path:
        return self._at(method, "scores.safetensors")

    def rounds(self, job: Job) -> Path:
        """Where a job stands after its last removal, if there are several rounds."""
        return self._at(job.method, job.place, "rounds", f"{job.regime}.safetensors")

    def rows(self, job: Job) -> Path:
        return self._at(job.method, job.place, f"{job.regime}.csv")

    def networks(self, job: Job) -> Path:
        return self._at(job.method, job.place, f"{job.regime}.safetensors")

    def curve(self, stage: str, *place: str) -> Path:
        """The training curve of one job."""
        return self._at("curves", f"{'/'.join((stage, *place))}.csv")

    def damage(self, removal: str) -> Path:
        return self.root / in_block(self.block, Path("damage", f"{removal}.csv"))

    def table(self, name: str) -> Path:
        return self.root / "tables" / name

    def figure(self, name: str, kind: str) -> Path:
        return self.root / "figures" / f"{name}.{kind}"

    @property
    def notebook(self) -> Path:
        return self.root / "explore.ipynb"

    @property
    def provenance(self) -> Path:
        return self.root / "provenance.json"

    @property
    def published(self) -> Path:
        return self.root / "published.txt"

    @property
    def publication(self) -> Path:
        """Where the committed figures and tables are, outside the results."""
        return Path("figures") / self.study

    def maker(self, artefact: Path) -> tuple[str, dict[str, str]] | None:
        """The stage and the options that make one of these files; None if none of them does."""
        try:
            place = artefact.relative_to(self.root)
        except ValueError:
            return None
        if place.name.startswith("."):
            return None
        return maker(place)

    def command(self, artefact: Path, study: str) -> str | None:
        """The command that makes one of these files again; None if the file is not one of them.

        `study` is how the user named the study, by name or path.
        """
        made_by = self.maker(artefact)
        if made_by is None:
            return None
        stage, options = made_by
        words = [word for key, value in options.items() for word in (f"--{key}", value)]
        if self.results != Path("results"):
            words += ["--results", str(self.results)]
        return shlex.join(["minified", stage, study, *words])

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def log(self, job: str) -> Path:
        return self.logs / f"{job}.log"

    def record(self, job: str) -> Path:
        """What made the files of a job: see `minified.run.records`."""
        return self.root / "records" / f"{job}.json"


def place_of(specification: str, place: Path) -> Path:
    """Where a specification keeps what it shares with none before it."""
    return place if specification == BASE else Path(SPECIFICATIONS, specification, place)


def in_block(block: str, place: Path) -> Path:
    """Where a block keeps what it has of a file or of a job; the same place without a block."""
    return Path(BLOCKS, block, place) if block else place


_TABLE_VERBS = {
    "results.csv": "aggregate",
    "curves.csv": "aggregate",
    "kept.csv": "selections",
    "overlap.csv": "selections",
    "claims.csv": "claims",
    "claims_detail.csv": "claims",
    "damage.csv": "correlate",
    "damage_units.csv": "correlate",
    "damage_scatter.csv": "correlate",
}


def maker(place: Path) -> tuple[str, dict[str, str]] | None:
    """The stage and the options that make the file at `place` in a study's results."""
    match place.parts:
        case [folder, specification, *parts] if folder == SPECIFICATIONS and parts:
            made_by = _maker_in_block(Path(*parts))
            return made_by and (made_by[0], {**made_by[1], "specification": specification})
    return _maker_in_block(place)


def _maker_in_block(place: Path) -> tuple[str, dict[str, str]] | None:
    match place.parts:
        case [folder, block, *parts] if folder == BLOCKS and parts:
            made_by = _maker(Path(*parts))
            return made_by and (made_by[0], {**made_by[1], "block": block})
    return _maker(place)


def _maker(place: Path) -> tuple[str, dict[str, str]] | None:
    match place.parts:
        case ["logs" | "records", *_]:
            return None
        case ["data.safetensors"]:
            return "prepare", {}
        case ["baseline.safetensors"]:
            return "train", {}
        case ["baseline.csv"]:
            return "evaluate", {}
        case ["provenance.json"]:
            return "provenance", {}
        case ["published.txt"]:
            return "publish", {}
        case ["explore.ipynb"]:
            return "notebook", {}
        case ["tables", name]:
            if name.startswith("specification"):
                return "specifications", {}
            return _TABLE_VERBS.get(name, "tables"), {}
        case ["figures", _]:
            return "figures", {"figure": place.stem}
        case ["derivatives", _]:
            return "derivatives", {"level": place.stem}
        case ["scratch", regime, _]:
            return "scratch", {"sparsity": place.stem, "regime": regime}
        case ["curves", "train.csv"]:
            return "train", {}
        case ["curves", "scratch", regime, _]:
            return "scratch", {"sparsity": place.stem, "regime": regime}
        case ["curves", "retrain", method, sparsity, _]:
            return "retrain", {"method": method, "sparsity": sparsity, "regime": place.stem}
        case ["curves", "iterate", method, sparsity, _] | [method, sparsity, "rounds", _]:
            return "iterate", {"method": method, "sparsity": sparsity, "regime": place.stem}
        case ["curves", "quantize", bits, _]:
            return "quantize", {"bits": bits, "regime": place.stem}
        case ["damage", _]:
            return "damage", {"removal": place.stem}
        case [method, "scores.safetensors"]:
            return "score", {"method": method}
        case ["quantization", bits, _]:
            return "quantize", {"bits": bits, "regime": place.stem}
        case [method, sparsity, _]:
            return "retrain", {"method": method, "sparsity": sparsity, "regime": place.stem}
    return None
