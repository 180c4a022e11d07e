"""The jobs of a study: what each one reads, writes and depends on. The one home of these facts.

    task(study, paths, "score", method="parameter-obd").inputs

The rules of the workflow, the command line and the records of what made an artefact
(`minified.run.records`) take them from here. Nothing here imports torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from minified.analysis.catalogue import FIGURES, FORMATS, TABLES, WRITTEN_TABLES, figure_names
from minified.criteria.record import LEVELS, parse_method
from minified.data.catalogue import CATALOGUE
from minified.run import sources
from minified.study.methods import Job
from minified.study.paths import Paths
from minified.study.regimes import ROUNDINGS
from minified.study.settings import Settings
from minified.study.studies import Study

_COMPUTING = ("numpy", "scikit-learn", "torch")
_ANALYSING = ("jinja2", "matplotlib", "numpy", "pandas", "scipy", "tabulate")
_ARITHMETIC = ("seed", "replicates", "threads", "arithmetic", "device", "network")


@dataclass(frozen=True)
class Stage:
    """One stage: the module with the function of the stage's name, and its kind of arithmetic.

    `fixed`: it computes with torch, with the study's threads and arithmetic. `pinned`: it analyses
    results, on one thread. None: it computes nothing. `packages`: those whose versions may change
    what it writes. `on_device`: whether it computes on the study's device.
    """

    module: str
    arithmetic: Literal["fixed", "pinned"] | None = "fixed"
    packages: tuple[str, ...] = _COMPUTING
    on_device: bool = False


STAGES = {
    "prepare": Stage("minified.jobs.prepare", packages=(*_COMPUTING, "torchvision")),
    **{
        name: Stage(f"minified.jobs.{name}", on_device=True)
        for name in (
            *("train", "evaluate", "derivatives", "score"),
            *("scratch", "retrain", "quantize", "damage"),
        )
    },
    "aggregate": Stage("minified.analysis.aggregate", "pinned", _ANALYSING),
    "claims": Stage("minified.analysis.claims.verdicts", "pinned", _ANALYSING),
    "correlate": Stage("minified.analysis.correlate", "pinned", _ANALYSING),
    "figures": Stage("minified.analysis.figures.stage", "pinned", _ANALYSING),
    "tables": Stage("minified.analysis.tables", "pinned", _ANALYSING),
    "notebook": Stage("minified.analysis.notebook", None, _ANALYSING),
    "provenance": Stage("minified.run.provenance", None, ()),
    "publish": Stage("minified.analysis.publish", None, ()),
    "timings": Stage("minified.run.timings", None, ()),
}
"""All stages, in the order in which a study runs them, and `timings`."""


@dataclass(frozen=True)
class Task:
    """One job of a study.

    Attributes:
        options: the options of its verb; in the workflow, its wildcards.
        inputs: the files that it reads, by name.
        outputs: the files that it writes.
        settings: the settings that it depends on, as plain values.
        sources: the source files that shape what it writes.
    """

    stage: str
    options: Mapping[str, str]
    inputs: Mapping[str, list[Path]]
    outputs: list[Path]
    settings: Mapping[str, Any] = field(default_factory=dict)
    sources: frozenset[Path] = frozenset()

    @property
    def name(self) -> str:
        """Names the job within its study: `retrain/parameter-obd/0.9/scratch`."""
        return "/".join([self.stage, *self.options.values()])

    @property
    def read(self) -> list[Path]:
        """All files that it reads."""
        return [file for files in self.inputs.values() for file in files]


def asked(study: Study, paths: Paths, stage: str, **options: Any) -> list[Task]:
    """The jobs that a verb does with its options: one, or several figures; none for `timings`."""
    if stage == "timings":
        return []
    if stage == "figures":
        names = options["figure"] or figure_names(study)
        known = set(figure_names(study))
        return [task(study, paths, stage, figure=name) for name in names if name in known]
    return [task(study, paths, stage, **options)]


def producer(study: Study, paths: Paths, file: Path) -> Task | None:
    """The job that writes `file`; None if no job of this study does."""
    made_by = paths.maker(file)
    return task(study, paths, made_by[0], **made_by[1]) if made_by else None


def task(study: Study, paths: Paths, stage: str, **options: Any) -> Task:
    """One job of a study, by its stage and the options of the stage's verb.

    Raises:
        ScoreError: a method that the study does not know.
    """
    data, baseline = {"data": [paths.data]}, {"baseline": [paths.baseline]}
    more: set[Path] = set()
    inputs: dict[str, list[Path]] = {}
    keys: list[str] = []
    match stage:
        case "prepare":
            outputs = [paths.data]
            splits = ("name", "validation", "test", "training_examples")
            keys = ["seed", *(f"data.{key}" for key in splits)]
            more = {CATALOGUE[study.data.name].file}
            options = {}  # where the raw data are changes nothing: their checksums are known
        case "train":
            inputs, outputs = data, [paths.baseline]
            keys = [*_ARITHMETIC, "recipes.baseline"]
        case "evaluate":
            inputs, outputs = data | baseline, [paths.baseline_rows]
            keys = [*_ARITHMETIC, "name", "recipes.baseline"]
        case "derivatives":
            inputs, outputs = data | baseline, [paths.derivatives(options["level"])]
            keys = [*_ARITHMETIC, "data.saliency_examples"]
        case "score":
            method = options["method"]
            level, criterion = parse_method(method, study.registry)
            inputs, outputs = data | baseline, [paths.scores(method)]
            if _shares_derivatives(study, method):
                inputs |= {"derivatives": [paths.derivatives(level)]}
            keys = [*_ARITHMETIC, "data.saliency_examples", f"options.{criterion}"]
            more = {study.registry[criterion].file}
        case "scratch":
            regime, sparsity = options["regime"], options["sparsity"]
            options = {"regime": regime, "sparsity": sparsity}
            inputs, outputs = data, [paths.scratch(regime, sparsity)]
            keys = [*_ARITHMETIC, *study.recipe_keys(regime)]
        case "retrain":
            job = Job(options["method"], options["sparsity"], options["regime"])
            inputs = data | baseline | {"scores": [paths.scores(job.method)]}
            if _shares_scratch(study, job.method, job.regime):
                inputs |= {"scratch": [paths.scratch(job.regime, job.place)]}
            outputs = _run_files(study, paths, job)
            keys = [*_ARITHMETIC, "name", "keep_networks", "data.saliency_examples"]
            keys += [*study.recipe_keys(job.regime), f"grid.{job.level}.scope"]
            more = {study.registry[parse_method(job.method, study.registry)[1]].file}
        case "quantize":
            job = Job("quantization", str(options["bits"]), options["regime"])
            options = {"bits": job.place, "regime": job.regime}
            inputs, outputs = data | baseline, _run_files(study, paths, job)
            keys = [*_ARITHMETIC, "name", "keep_networks"]
            trains = job.regime in ROUNDINGS and ROUNDINGS[job.regime].trains
            keys += ["recipes.quantization"] if trains else []
        case "damage":
            removal = options["removal"]
            inputs, outputs = data | baseline, [paths.damage(removal)]
            keys = [*_ARITHMETIC, "data.saliency_examples", "damage"]
            more = set() if removal in LEVELS else {study.registry[removal].file}
        case "aggregate":
            rows = [paths.rows(job) for job in study.jobs()]
            inputs, outputs = {"rows": [paths.baseline_rows, *rows]}, [paths.table("results.csv")]
            keys = ["grid"]
        case "claims":
            inputs = {"results": [paths.table("results.csv")]}
            outputs = [paths.table("claims.csv"), paths.table("claims_detail.csv")]
            keys = ["claims", "criteria"]
        case "correlate":
            inputs = {
                "damage": [paths.damage(removal) for removal in study.removals],
                "scores": [paths.scores(method) for method in study.methods],
            }
            outputs = [paths.table("damage_units.csv"), paths.table("damage.csv")]
            keys = ["grid"]
        case "tables":
            made = ("results.csv", "claims.csv", "claims_detail.csv", "damage.csv")
            inputs = {"tables": [paths.table(name) for name in made]}
            written = (*WRITTEN_TABLES, "accuracy.csv", "sizes.csv")
            outputs, keys = [paths.table(n) for n in written], ["claims", "criteria", "replicates"]
        case "figures":
            name = options["figure"]
            inputs = {"tables": [paths.table(table) for table in FIGURES[name].tables]}
            outputs = [paths.figure(name, kind) for kind in FORMATS]
            keys = ["grid", "criteria", "regimes", *FIGURES[name].settings]
            more = {_file(f"minified.analysis.figures.{name}")}
        case "notebook":
            shown = ("results.csv", "claims.csv", "claims_detail.csv")
            inputs, outputs = {"tables": [paths.table(name) for name in shown]}, [paths.notebook]
            more = {_file(f"minified.analysis.{name}") for name in ("results", "statistics")}
            more |= {Path(options["source"])}
            options = {}
        case "provenance":
            # All that is computed; a figure that is only drawn again changes nothing of it.
            computed = ("results.csv", "claims.csv", "damage.csv")
            inputs = {"tables": [paths.table(name) for name in computed]}
            outputs = [paths.provenance]
            keys = [key for key in Settings.model_fields if key != "data_root"]
        case "publish":
            figures = [paths.figure(n, kind) for n in figure_names(study) for kind in FORMATS]
            inputs = {"figures": figures, "tables": [paths.table(name) for name in TABLES]}
            inputs |= {"provenance": [paths.provenance]}
            outputs = [paths.published]
        case _:
            raise ValueError(f"{stage}: no stage that writes results")
    settings = study.excerpt(*keys)
    if stage in ("claims", "tables", "figures"):
        settings |= {"looks": study.looks()}
    module, always = _file(STAGES[stage].module), _file("minified.foundations.arithmetic")
    files = frozenset().union(*map(sources.reached, {module, always, *more}))
    return Task(stage, options, inputs, outputs, settings, files)


@cache
def _file(module: str) -> Path:
    file = sources.file_of(module)
    assert file is not None, module
    return file


def _shares_derivatives(study: Study, method: str) -> bool:
    criterion = study.registry.get(method.partition("-")[2])
    return criterion is not None and criterion.derivatives


def _shares_scratch(study: Study, method: str, regime: str) -> bool:
    return method.partition("-")[0] in study.levels and study.shares_scratch(method, regime)


def _run_files(study: Study, paths: Paths, job: Job) -> list[Path]:
    """The rows of a job, and its networks if the study keeps them."""
    return [paths.rows(job), *([paths.networks(job)] if study.keep_networks else [])]
