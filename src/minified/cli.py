"""`minified VERB`: what the rules call, and what a person can call by hand.

Each verb reads its inputs from and writes its outputs to results/STUDY/, where the workflow looks
for them, too. Errors that a user can mend are one line on standard error and exit status 1.
"""

import contextlib
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from minified import arithmetic, paths, plain, running, study
from minified.errors import ArtefactError, MinifiedError

app = typer.Typer(
    name="minified",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""How small can a trained network get, by which method, and at what cost?

    The verbs are the stages of a study, in this order; `snakemake --cores N` calls them for the
    whole grid, and each can be called by hand:

    **check** the configuration, **prepare** the data, **train** the dense baselines, compute the
    **derivatives** that OBD reads, **score** parameters or neurons by a criterion, remove the
    lowest and **retrain** what is left (fresh networks of equal widths are trained once, by
    **scratch**), or **quantize** instead; measure single removals (**damage**);
    **aggregate** all rows; test the **claims**; **correlate** scores with measured damage; draw the
    **figures** and write the **tables**; execute the **notebook**; record the **provenance**;
    **publish** it all in figures/STUDY. **verify** does it again elsewhere and compares.

    STUDY is a name (`digits` is config/digits.yaml) or the path of a study file.
    """,
)

StudyArgument = Annotated[
    str, typer.Argument(help="Name (`digits`) or path of the study.", metavar="STUDY")
]
ResultsOption = Annotated[
    Path, typer.Option("--results", help="Where results are kept, one folder per study.")
]
Results = Path("results")


class PruningRegime(StrEnum):
    """What a pruned network's survivors start from."""

    fine_tune = "fine_tune"
    scratch = "scratch"
    rewind = "rewind"


class QuantizationRegime(StrEnum):
    """Rounded after training, or while fine-tuning."""

    none = "none"
    fine_tune = "fine_tune"


class Level(StrEnum):
    """What pruning removes."""

    parameter = "parameter"
    neuron = "neuron"


class Removal(StrEnum):
    """What is removed, one unit at a time."""

    parameter = "parameter"
    neuron = "neuron"
    merging = "merging"


@contextlib.contextmanager
def _opened(name: str, results: Path) -> Iterator[tuple[study.Study, paths.Paths]]:
    """A study and where its files lie; an error about one of them says how to make it again."""
    loaded = study.load(name)
    where = paths.Paths(loaded.name, results)
    try:
        yield loaded, where
    except ArtefactError as error:
        command = where.command(error.path, name)
        mend = f"; make it again: {command}" if command else ""
        raise MinifiedError(f"{error}{mend}") from None


@app.command()
def check(study_name: StudyArgument) -> None:
    """Validate a study's configuration: one line and status 1 if anything is wrong."""
    loaded = study.load(study_name)
    jobs = len(list(loaded.jobs()))
    print(f"{loaded.file}: {jobs} jobs x {loaded.replicates} replicates")


@app.command()
def prepare(
    study_name: StudyArgument,
    root: Annotated[
        Path | None,
        typer.Option(
            help="The data root; if left out, $MINIFIED_DATA, or else the study's data_root."
        ),
    ] = None,
    results: ResultsOption = Results,
) -> None:
    """Split and normalise the data set: data.safetensors."""
    with _opened(study_name, results) as (loaded, where):
        arithmetic.fix(loaded.threads, loaded.arithmetic)
        from minified.jobs.prepare import prepare as job

        job(loaded, where, root or loaded.raw_data)


@app.command()
def train(study_name: StudyArgument, results: ResultsOption = Results) -> None:
    """Train the dense baselines of all replicates: baseline.safetensors, baseline.csv."""
    with _opened(study_name, results) as (loaded, where):
        arithmetic.fix(loaded.threads, loaded.arithmetic)
        from minified.jobs.train import train as job

        job(loaded, where)


LevelOption = Annotated[Level, typer.Option(help="What can be removed.")]
MethodOption = Annotated[
    str, typer.Option(help="LEVEL-CRITERION, e.g. parameter-obd or neuron-merging.")
]
SparsityOption = Annotated[float, typer.Option(help="Fraction of the level's units to remove.")]


@app.command()
def derivatives(
    study_name: StudyArgument, level: LevelOption, results: ResultsOption = Results
) -> None:
    """Differentiate the loss for OBD and its variations: derivatives/LEVEL.safetensors."""
    with _opened(study_name, results) as (loaded, where):
        arithmetic.fix(loaded.threads, loaded.arithmetic)
        from minified.jobs.derivatives import derivatives as job

        job(loaded, where, level.value)


@app.command()
def score(
    study_name: StudyArgument, method: MethodOption, results: ResultsOption = Results
) -> None:
    """Score every removable unit of every baseline: METHOD/scores.safetensors."""
    with _opened(study_name, results) as (loaded, where):
        arithmetic.fix(loaded.threads, loaded.arithmetic)
        from minified.jobs.score import score as job

        job(loaded, where, method)


@app.command()
def scratch(
    study_name: StudyArgument, sparsity: SparsityOption, results: ResultsOption = Results
) -> None:
    """Train fresh networks of the widths that a neuron sparsity leaves: scratch/SPARSITY."""
    with _opened(study_name, results) as (loaded, where):
        _check_sparsity(sparsity)
        if loaded.grid.neuron is None or not loaded.shares_scratch("neuron", "scratch"):
            raise MinifiedError(
                f"{loaded.file}: no two methods share a scratch run: grid.neuron.scope is not layer"
            )
        arithmetic.fix(loaded.threads, loaded.arithmetic)
        from minified.jobs.scratch import scratch as job

        job(loaded, where, repr(sparsity))


def _check_sparsity(sparsity: float) -> None:
    if not 0 <= sparsity < 1:
        raise MinifiedError(f"--sparsity {sparsity}: must be in [0, 1)")


@app.command()
def retrain(
    study_name: StudyArgument,
    method: MethodOption,
    sparsity: SparsityOption,
    regime: Annotated[PruningRegime, typer.Option(help="What the survivors start from.")],
    results: ResultsOption = Results,
) -> None:
    """Remove what scores lowest and retrain: METHOD/SPARSITY/REGIME.csv (and .safetensors)."""
    with _opened(study_name, results) as (loaded, where):
        _check_sparsity(sparsity)
        arithmetic.fix(loaded.threads, loaded.arithmetic)
        from minified.jobs.retrain import retrain as job

        job(loaded, where, study.Job(method, repr(sparsity), regime.value))


@app.command()
def quantize(
    study_name: StudyArgument,
    bits: Annotated[int, typer.Option(min=1, max=8, help="Bits per weight.")],
    regime: Annotated[QuantizationRegime, typer.Option(help="After training, or aware of it.")],
    results: ResultsOption = Results,
) -> None:
    """Round the weights to a grid of 2^bits points: quantization/BITS/REGIME.csv."""
    with _opened(study_name, results) as (loaded, where):
        arithmetic.fix(loaded.threads, loaded.arithmetic)
        from minified.jobs.quantize import quantize as job

        job(loaded, where, study.Job("quantization", str(bits), regime.value))


@app.command()
def damage(
    study_name: StudyArgument,
    removal: Annotated[Removal, typer.Option(help="What is removed, one unit at a time.")],
    results: ResultsOption = Results,
) -> None:
    """Measure what single removals do to the loss: damage/REMOVAL.csv."""
    with _opened(study_name, results) as (loaded, where):
        arithmetic.fix(loaded.threads, loaded.arithmetic)
        from minified.jobs.damage import damage as job

        job(loaded, where, removal.value)


@app.command()
def aggregate(study_name: StudyArgument, results: ResultsOption = Results) -> None:
    """Collect every job's rows, complete or refused: tables/results.csv."""
    with _opened(study_name, results) as (loaded, where):
        arithmetic.pin()
        from minified.analysis.aggregate import aggregate as job

        job(loaded, where)


@app.command()
def claims(study_name: StudyArgument, results: ResultsOption = Results) -> None:
    """Test the abstract's claims: tables/claims.csv, tables/claims_detail.csv."""
    with _opened(study_name, results) as (loaded, where):
        arithmetic.pin()
        from minified.analysis.claims import test_claims as job

        job(loaded, where)


@app.command()
def correlate(study_name: StudyArgument, results: ResultsOption = Results) -> None:
    """Compare scores with measured damage: tables/damage.csv, tables/damage_units.csv."""
    with _opened(study_name, results) as (loaded, where):
        arithmetic.pin()
        from minified.analysis.damage import correlate as job

        job(loaded, where)


@app.command()
def figures(
    study_name: StudyArgument,
    figure: Annotated[
        list[str] | None,
        typer.Option(help="A figure by name, may be repeated; all of the study's if left out."),
    ] = None,
    results: ResultsOption = Results,
) -> None:
    """Draw figures from the tables: figures/NAME.svg, .pdf and .png."""
    with _opened(study_name, results) as (loaded, where):
        from minified.analysis import figure_names

        names = figure_names(loaded)
        for name in figure or ():
            if name not in names:
                raise MinifiedError(f"--figure {name}: study {loaded.name} has {', '.join(names)}")
        arithmetic.pin()
        from minified.analysis.figures import draw

        for name in figure or names:
            draw(loaded, where, name)


@app.command()
def tables(study_name: StudyArgument, results: ResultsOption = Results) -> None:
    """Write the tables as csv, md and tex: accuracy, sizes, claims, damage."""
    with _opened(study_name, results) as (loaded, where):
        arithmetic.pin()
        from minified.analysis.tables import tabulate as job

        job(loaded, where)


@app.command()
def notebook(
    study_name: StudyArgument,
    notebook: Annotated[Path, typer.Option(help="The notebook to execute.")] = Path(
        "notebooks/explore.ipynb"
    ),
    results: ResultsOption = Results,
) -> None:
    """Execute the notebook on a study's results: explore.ipynb."""
    with _opened(study_name, results) as (loaded, where):
        from minified.analysis.notebook import execute

        execute(loaded, where, notebook)


@app.command()
def provenance(study_name: StudyArgument, results: ResultsOption = Results) -> None:
    """Say what the figures are made from: configuration, data, device type, package versions."""
    with _opened(study_name, results) as (loaded, where):
        arithmetic.fix(loaded.threads, loaded.arithmetic)
        from minified.provenance import provenance as job

        job(loaded, where)


@app.command()
def publish(study_name: StudyArgument, results: ResultsOption = Results) -> None:
    """Copy figures and tables to figures/STUDY of the repository."""
    with _opened(study_name, results) as (loaded, where):
        from minified.analysis.publish import publish as job

        job(loaded, where)


@app.command()
def verify(
    study_name: StudyArgument,
    cores: Annotated[str, typer.Option(help="For Snakemake: a number, or `all`.")] = "all",
    folder: Annotated[
        Path | None,
        typer.Option(help="Where to regenerate; a temporary folder if left out."),
    ] = None,
) -> None:
    """Regenerate a study elsewhere and compare it with the committed figures, byte for byte.

    Exit status 0: the same (on another type of machine: within the stated tolerance); 3: not.
    """
    from minified import verify as verification

    outcome = verification.verify(study.load(study_name), cores, folder)
    sys.exit(verification.STATUS[outcome])


@app.command()
def timings(study_name: StudyArgument, results: ResultsOption = Results) -> None:
    """Say where the time went: figures/STUDY/machine/timings.csv and .md."""
    with _opened(study_name, results) as (loaded, where):
        from minified.analysis.timings import timings as job

        job(loaded, where)


@app.command()
def schema() -> None:
    """Print the JSON schema of a study file (workflow/schemas/study.schema.json)."""
    import json

    print(json.dumps(study.Settings.model_json_schema(), indent=2, sort_keys=True))


@app.command()
def columns() -> None:
    """Print the columns of results.csv with type and meaning, as in docs/results.md."""
    from minified import rows

    print(rows.columns_table(), end="")


def main() -> None:
    """Entry point: one line instead of a traceback for what a user can mend."""
    running.follow()
    clock = running.Clock()
    try:
        app()
    except SystemExit as ended:
        if not ended.code:
            clock.tell()
        raise
    except MinifiedError as error:
        print(f"minified: {plain.one_line(str(error))}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        print(f"minified: {named}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
