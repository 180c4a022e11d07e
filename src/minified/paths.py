"""Where every artefact of a study lies: the one place that the rules and the command line share."""

from dataclasses import dataclass
from pathlib import Path

from minified.study import Job


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
    def published(self) -> Path:
        return self.root / "published.txt"

    @property
    def publication(self) -> Path:
        """Where the committed figures and tables lie, outside the results."""
        return Path("figures") / self.study

    def log(self, job: str) -> Path:
        return self.root / "logs" / f"{job}.log"

    def benchmark(self, job: str) -> Path:
        return self.root / "benchmarks" / f"{job}.tsv"
