"""The jobs of a study: what each one reads, writes and depends on. The one home of these facts.

    task(study, paths, "score", method="parameter-obd").inputs

The rules of the workflow, the command line and the records of what made an artefact
(`minified.run.records`) take them from here. Nothing here imports torch.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from minified.analysis.catalogue import (
    FIGURES,
    FORMATS,
    SPECIFICATION_TABLES,
    WRITTEN_TABLES,
    figure_names,
    published_tables,
)
from minified.analysis.trainings import trainings
from minified.criteria.record import LEVELS, parse_method
from minified.data.catalogue import CATALOGUE
from minified.run import sources
from minified.run.blocks import put_together
from minified.run.job import Task as Task
from minified.run.sharing import Owners
from minified.run.stages import STAGES
from minified.study import shared
from minified.study.blocks import CHANGES_NOTHING
from minified.study.methods import Job
from minified.study.paths import Paths, maker
from minified.study.regimes import ROUNDINGS
from minified.study.settings import Settings
from minified.study.specifications import BASE
from minified.study.studies import Study

_ARITHMETIC = ("seed", "replicates", "threads", "arithmetic", "device", "network")


def asked(study: Study, paths: Paths, stage: str, **options: Any) -> list[Task]:
    """The jobs that a verb does with its options: one, or several figures; none for `timings`."""
    if stage == "figures":
        names = options["figure"] or figure_names(study)
        known = set(figure_names(study))
        return [task(study, paths, stage, figure=name) for name in names if name in known]
    return [task(study, paths, stage, **options)] if stage != "timings" else []


def producer(study: Study, paths: Paths, file: Path) -> Task | None:
    """The job that writes `file`; None if no job of this study does."""
    made_by = paths.maker(file)
    return task(study, paths, made_by[0], **made_by[1]) if made_by else None


def task(
    study: Study,
    paths: Paths,
    stage: str,
    *,
    specification: str = BASE,
    block: str = "",
    **options: Any,
) -> Task:
    """One job of a study, by its stage and its verb's options; of those that specifications share,
    that of the first of them. Where replicates are done in blocks, a job without one puts the files
    of all blocks together.

    Raises:
        ScoreError: a method that the study does not know.
        StudyError: a specification or a block that it does not have.
    """
    study.under(specification)
    own, own_paths = opened(
        study, paths, stage, specification=specification, block=block, **options
    )
    made = _task(own, own_paths, stage, options)
    if own.blocks and STAGES[stage].in_blocks:
        how = _reached("minified.jobs.together")
        made = put_together(own, own_paths, made, _task, how)
    return replace(made, specification=own.specification, block=block)


def opened(
    study: Study,
    paths: Paths,
    stage: str,
    *,
    specification: str = BASE,
    block: str = "",
    **options: Any,
) -> tuple[Study, Paths]:
    """The study and the paths with which a job is done: those of the specification that owns it,
    and of its block.
    """
    if study.specified:
        owners = _owners(study)
        owner = owners.owner(specification, stage, options)
        paths = replace(paths, places=owners.places(owner), others=owners.places)
        study = study.under(owner)
    return study.within(block), replace(paths, block=block)


def share(study: Study, specification: str) -> None:
    """Find out which specifications do the jobs of this one; `study` then remembers it."""
    for job in study.under(specification).jobs():
        if made_by := maker(Paths("", Path()).rows(job)):
            _owners(study).owner(specification, *made_by)


def _owners(study: Study) -> Owners:
    def known(specification: str, stage: str, options: Mapping[str, Any]) -> Task:
        own = study.under(specification)
        return _task(own, Paths(study.name, Path()), stage, dict(options))

    return study.memory.setdefault("owners", Owners(study, known))


def _examples(study: Study, criterion: str) -> list[str]:
    """The setting that says which examples a criterion sees, if they matter to it."""
    return [] if study.registry[criterion].data_free else ["data.saliency_examples"]


def _task(study: Study, paths: Paths, stage: str, options: dict[str, Any]) -> Task:
    data, baseline = {"data": [paths.data]}, {"baseline": [paths.baseline]}
    more: set[Path] = set()
    inputs: dict[str, list[Path]] = {}
    keys: list[str] = []
    own: dict[str, Any] = {}
    match stage:
        case "prepare":
            outputs = [paths.data]
            splits = ("name", "validation", "test", "training_examples")
            keys = ["seed", *(f"data.{key}" for key in splits)]
            more = {CATALOGUE[study.data.name].file}
            options = {}  # where the raw data are changes nothing: their checksums are known
        case "train":
            inputs, outputs = data, [paths.baseline, paths.curve("train")]
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
            keys = [*_ARITHMETIC, *_examples(study, criterion), f"options.{criterion}"]
            more = {study.registry[criterion].file}
        case "scratch":
            regime, sparsity = options["regime"], options["sparsity"]
            options = {"regime": regime, "sparsity": sparsity}
            inputs, outputs = data, [paths.scratch(regime, sparsity)]
            outputs += [paths.curve("scratch", regime, sparsity)]
            keys, own = [*_ARITHMETIC], study.trained_by(regime, "neuron")
        case "iterate":
            job = Job(options["method"], options["sparsity"], options["regime"])
            level, criterion = parse_method(job.method, study.registry)
            inputs = data | baseline | {"scores": [paths.scores(job.method)]}
            outputs = [paths.rounds(job)]
            outputs += [paths.curve("iterate", job.method, job.place, job.regime)]
            keys = [*_ARITHMETIC, *_examples(study, criterion), f"options.{criterion}"]
            own = study.trained_by(job.regime, level) | study.ranked_by(level, criterion)
            keys += [f"grid.{level}.rounds"]
            more = {study.registry[criterion].file}
        case "retrain":
            job = Job(options["method"], options["sparsity"], options["regime"])
            inputs = data | baseline | {"scores": [paths.scores(job.method)]}
            if _shares_scratch(study, job.method, job.regime):
                inputs |= {"scratch": [paths.scratch(job.regime, job.place)]}
            outputs = _run_files(study, paths, job)
            outputs += [paths.curve("retrain", job.method, job.place, job.regime)]
            keys = [*_ARITHMETIC, "name", "keep_networks"]
            level, criterion = parse_method(job.method, study.registry)
            own = study.trained_by(job.regime, level) | study.ranked_by(level, criterion)
            if between := study.iterated(level, job.regime):
                del inputs["scores"]
                inputs |= {"rounds": [paths.rounds(Job(job.method, job.place, between))]}
                keys += [f"grid.{level}.rounds"]
            elif study.registry[criterion].removal:
                keys += _examples(study, criterion)  # it chooses while it removes
            more = {study.registry[criterion].file}
        case "quantize":
            job = Job("quantization", str(options["bits"]), options["regime"])
            options = {"bits": job.place, "regime": job.regime}
            inputs, outputs = data | baseline, _run_files(study, paths, job)
            outputs += [paths.curve("quantize", job.place, job.regime)]
            keys = [*_ARITHMETIC, "name", "keep_networks"]
            trains = job.regime in ROUNDINGS and ROUNDINGS[job.regime].trains
            keys += ["recipes.quantization"] if trains else []
        case "damage":
            removal = options["removal"]
            inputs, outputs = data | baseline, [paths.damage(removal)]
            keys = [*_ARITHMETIC, "data.saliency_examples"]
            # Which replicates of a block are damaged is all that matters to it.
            keys += ["damage.units"] if study.block else ["damage"]
            own = {"damaged": len(study.damaged)} if study.block else {}
            more = set() if removal in LEVELS else {study.registry[removal].file}
        case "aggregate":
            rows = [paths.rows(job) for job in study.jobs()]
            inputs = {"rows": [paths.baseline_rows, *rows]}
            inputs |= {"curves": [one.file(paths) for one in trainings(study)]}
            outputs = [paths.table("results.csv"), paths.table("curves.csv")]
            keys = ["grid"]
        case "specifications":
            inputs = {"rows": list(shared.rows(study, paths))}
            outputs = [paths.table(name) for name in SPECIFICATION_TABLES]
            keys = ["grid", "claims", "criteria", "specifications"]
        case "claims":
            inputs = {"tables": [paths.table("results.csv"), paths.table("overlap.csv")]}
            outputs = [paths.table("claims.csv"), paths.table("claims_detail.csv")]
            keys = ["claims", "criteria"]
        case "correlate":
            inputs = {
                "damage": [paths.damage(removal) for removal in study.removals],
                "scores": [paths.scores(method) for method in study.methods],
            }
            made = ("damage_units.csv", "damage_scatter.csv", "damage.csv")
            outputs = [paths.table(name) for name in made]
            keys = ["grid", "damage.replicates"]
        case "selections":
            scores = [paths.scores(method) for method in study.methods]
            inputs = data | {"scores": scores}
            outputs = [paths.table("kept.csv"), paths.table("overlap.csv")]
            keys = [*_ARITHMETIC, "grid"]
        case "tables":
            read = ("results.csv", "claims.csv", "claims_detail.csv", "damage.csv", "overlap.csv")
            inputs = {"tables": [paths.table(name) for name in read]}
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
            computed = ["results.csv", "claims.csv", "damage.csv"]
            computed += ["specifications.csv"] if study.specified else []
            inputs = {"tables": [paths.table(name) for name in computed]}
            outputs = [paths.provenance]
            keys = [key for key in Settings.model_fields if key not in CHANGES_NOTHING]
        case "publish":
            figures = [paths.figure(n, kind) for n in figure_names(study) for kind in FORMATS]
            tables = [paths.table(name) for name in published_tables(study)]
            inputs = {"figures": figures, "tables": tables, "provenance": [paths.provenance]}
            outputs = [paths.published]
        case _:
            raise ValueError(f"{stage}: no stage that writes results")
    settings = study.excerpt(*keys) | own
    if stage in ("claims", "tables", "figures"):
        settings |= {"looks": study.looks()}
    elif stage == "specifications":  # in their order, which is that of the tables
        settings |= {"order": [list(study.specified), list(study.specifications.axes)]}
    files = _reached(STAGES[stage].module, *more)
    return Task(stage, options, inputs, outputs, settings, files)


def _reached(module: str, *more: Path) -> frozenset[Path]:
    """The source files behind a module, and behind what its jobs depend on besides."""
    starts = {_file(module), _file("minified.foundations.arithmetic"), *more}
    return frozenset().union(*map(sources.reached, starts))


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
