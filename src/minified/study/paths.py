"""Where every file of a study is; both the rules and the command line take paths from here."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from minified.study.methods import Job


@dataclass(frozen=True)
class Paths:
    """The files of one study under `results/STUDY/`."""

    study: str
    results: Path = Path("results")

    @property
    def root(self) -> Path:
        return self.results / self.study

    @property
    def data(self) -> Path:
        return self.root / "data.safetensors"

    @property
    def baseline(self) -> Path:
        return self.root / "baseline.safetensors"

    @property
    def baseline_rows(self) -> Path:
        return self.root / "baseline.csv"

    def derivatives(self, level: str) -> Path:
        return self.root / "derivatives" / f"{level}.safetensors"

    def scratch(self, regime: str, sparsity: str) -> Path:
        """The networks shared by all methods that leave the same widths."""
        return self.root / "scratch" / regime / f"{sparsity}.safetensors"

    def scores(self, method: str) -> Path:
        return self.root / method / "scores.safetensors"

    def rows(self, job: Job) -> Path:
        return self.root / job.method / job.place / f"{job.regime}.csv"

    def networks(self, job: Job) -> Path:
        return self.root / job.method / job.place / f"{job.regime}.safetensors"

    def damage(self, removal: str) -> Path:
        return self.root / "damage" / f"{removal}.csv"

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
        return None if place.name.startswith(".") else _maker(place)

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


_TABLE_VERBS = {
    "results.csv": "aggregate",
    "claims.csv": "claims",
    "claims_detail.csv": "claims",
    "damage.csv": "correlate",
    "damage_units.csv": "correlate",
}


def _maker(place: Path) -> tuple[str, dict[str, str]] | None:
    """The stage and the options that make the file at `place` in a study's results."""
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
            return _TABLE_VERBS.get(name, "tables"), {}
        case ["figures", _]:
            return "figures", {"figure": place.stem}
        case ["derivatives", _]:
            return "derivatives", {"level": place.stem}
        case ["scratch", regime, _]:
            return "scratch", {"sparsity": place.stem, "regime": regime}
        case ["damage", _]:
            return "damage", {"removal": place.stem}
        case [method, "scores.safetensors"]:
            return "score", {"method": method}
        case ["quantization", bits, _]:
            return "quantize", {"bits": bits, "regime": place.stem}
        case [method, sparsity, _]:
            return "retrain", {"method": method, "sparsity": sparsity, "regime": place.stem}
    return None
