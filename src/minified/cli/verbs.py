"""The verbs of `minified`: what the rules call, and what a person can call by hand.

Each verb reads from and writes to results/STUDY/, as the workflow does. One function runs all
stages (`minified.cli.stages`); this module has their options.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from minified.cli import ending
from minified.foundations.errors import MinifiedError
from minified.run import lock

app = typer.Typer(
    name="minified",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""How small can a trained network get, by which method, and at what cost?

    The verbs are the stages of a study, in this order; `snakemake --cores N` calls them for the
    whole grid, and each can be called by hand:

    **check** the configuration, **prepare** the data, **train** and **evaluate** the dense
    baselines, compute the **derivatives** that OBD reads, **score** parameters or neurons by a
    criterion, remove the lowest and **retrain** what is left (fresh networks of equal widths are
    trained once, by **scratch**), or **quantize** instead; measure single removals (**damage**);
    **aggregate** all rows; test the **claims**; **correlate** scores with measured damage; draw the
    **figures** and write the **tables**; execute the **notebook**; record the **provenance**;
    **publish** it all in figures/STUDY. **verify** does it again elsewhere and compares.
    **try** runs a criterion of your own on small networks, before a study is spent on it.

    STUDY is a name (`digits` is config/digits.yaml) or the path of a study file.
    """,
)

Study = Annotated[
    str, typer.Argument(help="Name (`digits`) or path of the study.", metavar="STUDY")
]
Results = Annotated[
    Path, typer.Option("--results", help="Where results are kept, one folder per study.")
]
Level = Annotated[str, typer.Option(help="What is removed: parameter or neuron.")]
Method = Annotated[str, typer.Option(help="LEVEL-CRITERION, e.g. parameter-obd or neuron-merging.")]
Sparsity = Annotated[float, typer.Option(help="Fraction of the level's units to remove.")]
Regime = Annotated[str, typer.Option(help="How what is left is retrained, e.g. fine_tune.")]
RESULTS = Path("results")


def _run(stage: str, study: str, results: Path, **options: Any) -> None:
    # Imported here: a mistake in a built-in record is then one line, as all others are.
    from minified.cli import stages

    with ending.returning(stage):
        stages.run(stage, study, results, **options)


@app.command()
def check(study: Study) -> None:
    """Validate a study: one line, status 1 if it is wrong; a warning if its device is not here."""
    from minified.run import device, opening
    from minified.study import studies

    loaded = studies.load(study)
    jobs = len(list(loaded.jobs()))
    print(f"{loaded.file}: {jobs} jobs x {loaded.replicates} replicates")
    if warning := device.missing(loaded):
        opening.say(f"warning: {warning}")


@app.command("try")
def try_(
    file: Annotated[Path, typer.Argument(help="The Python file of a criterion of your own.")],
    criterion: Annotated[
        str | None, typer.Option(help="Its function, if the file has several.")
    ] = None,
    level: Annotated[
        str | None, typer.Option(help="parameter or neuron; by default all that it has.")
    ] = None,
) -> None:
    """Try a criterion of your own on small networks: a line per property, status 1 if one fails."""
    from minified.criteria.record import LEVELS
    from minified.foundations import arithmetic

    if level not in (None, *LEVELS):
        raise MinifiedError(f"--level {level}: must be {' or '.join(LEVELS)}")
    arithmetic.fix(1)
    from minified.run import trial

    failed = False
    with ending.returning("try"):
        for line in trial.examine(file, criterion, level):
            print(line, flush=True)
            failed |= line.mark == "FAILED"
    sys.exit(failed)


@app.command()
def prepare(
    study: Study,
    root: Annotated[
        Path | None,
        typer.Option(
            help="The data root; by default $MINIFIED_DATA or, if not set, the study's data_root."
        ),
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Split and normalise the data set: data.safetensors."""
    _run("prepare", study, results, root=root)


@app.command()
def train(study: Study, results: Results = RESULTS) -> None:
    """Train the dense baselines of all replicates: baseline.safetensors."""
    _run("train", study, results)


@app.command()
def evaluate(study: Study, results: Results = RESULTS) -> None:
    """Measure the dense baselines: baseline.csv."""
    _run("evaluate", study, results)


@app.command()
def derivatives(study: Study, level: Level, results: Results = RESULTS) -> None:
    """Differentiate the loss for OBD and its variations: derivatives/LEVEL.safetensors."""
    _run("derivatives", study, results, level=level)


@app.command()
def score(study: Study, method: Method, results: Results = RESULTS) -> None:
    """Score every removable unit of every baseline: METHOD/scores.safetensors."""
    _run("score", study, results, method=method)


@app.command()
def scratch(
    study: Study, sparsity: Sparsity, regime: Regime = "scratch", results: Results = RESULTS
) -> None:
    """Train fresh networks of the widths that a neuron sparsity leaves: scratch/REGIME/SPARSITY."""
    _run("scratch", study, results, sparsity=repr(sparsity), regime=regime)


@app.command()
def retrain(
    study: Study, method: Method, sparsity: Sparsity, regime: Regime, results: Results = RESULTS
) -> None:
    """Remove what scores lowest and retrain: METHOD/SPARSITY/REGIME.csv (and .safetensors)."""
    _run("retrain", study, results, method=method, sparsity=repr(sparsity), regime=regime)


@app.command()
def quantize(
    study: Study,
    bits: Annotated[int, typer.Option(min=1, max=8, help="Bits per weight.")],
    regime: Annotated[
        str, typer.Option(help="When weights are rounded: none (after training) or fine_tune.")
    ],
    results: Results = RESULTS,
) -> None:
    """Round the weights to a grid of 2^bits points: quantization/BITS/REGIME.csv."""
    _run("quantize", study, results, bits=bits, regime=regime)


@app.command()
def damage(
    study: Study,
    removal: Annotated[
        str,
        typer.Option(
            help="What is removed, one unit at a time: a level, or a criterion that has its own way"
            " of removing (merging)."
        ),
    ],
    results: Results = RESULTS,
) -> None:
    """Measure what single removals do to the loss: damage/REMOVAL.csv."""
    _run("damage", study, results, removal=removal)


@app.command()
def aggregate(study: Study, results: Results = RESULTS) -> None:
    """Collect the rows of every job, with an error if any is missing: tables/results.csv."""
    _run("aggregate", study, results)


@app.command()
def claims(study: Study, results: Results = RESULTS) -> None:
    """Test the abstract's claims: tables/claims.csv, tables/claims_detail.csv."""
    _run("claims", study, results)


@app.command()
def correlate(study: Study, results: Results = RESULTS) -> None:
    """Compare scores with measured damage: tables/damage.csv, tables/damage_units.csv."""
    _run("correlate", study, results)


@app.command()
def figures(
    study: Study,
    figure: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of a figure; may be repeated. By default all of the study's figures."
        ),
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Draw figures from the tables: figures/NAME.svg, .pdf and .png."""
    _run("figures", study, results, figure=figure)


@app.command()
def tables(study: Study, results: Results = RESULTS) -> None:
    """Write the tables as csv, md and tex: accuracy, sizes, claims, damage."""
    _run("tables", study, results)


@app.command()
def notebook(
    study: Study,
    notebook: Annotated[Path, typer.Option(help="The notebook to execute.")] = Path(
        "notebooks/explore.ipynb"
    ),
    results: Results = RESULTS,
) -> None:
    """Execute the notebook on a study's results: explore.ipynb."""
    _run("notebook", study, results, source=notebook)


@app.command()
def provenance(study: Study, results: Results = RESULTS) -> None:
    """Record what the figures are made from: configuration, data, device type, versions."""
    _run("provenance", study, results)


@app.command()
def publish(study: Study, results: Results = RESULTS) -> None:
    """Copy figures and tables to figures/STUDY of the repository."""
    _run("publish", study, results)


@app.command()
def verify(
    study: Study,
    cores: Annotated[str, typer.Option(help="For Snakemake: a number, or `all`.")] = "all",
    folder: Annotated[
        Path | None,
        typer.Option(help="Where to regenerate it; by default a temporary folder."),
    ] = None,
) -> None:
    """Regenerate a study elsewhere and compare it with the committed figures, byte for byte.

    Exit status 0: identical (on another type of machine: within the stated tolerance); 3: not.
    """
    from minified.run import verify as verification
    from minified.study import studies

    outcome = verification.verify(studies.load(study), cores, folder)
    sys.exit(verification.STATUS[outcome])


@app.command()
def timings(study: Study, results: Results = RESULTS) -> None:
    """Summarise where the time went: figures/STUDY/machine/timings.csv and .md."""
    _run("timings", study, results)


@app.command()
def schema() -> None:
    """Print the JSON schema of a study file (workflow/schemas/study.schema.json)."""
    import json

    from minified.study.settings import Settings

    print(json.dumps(Settings.model_json_schema(), indent=2, sort_keys=True))


@app.command()
def columns() -> None:
    """Print the columns of results.csv with type and meaning, as in docs/results.md."""
    from minified.study import rows

    print(rows.columns_table(), end="")


def main(cold: str = "") -> None:
    """Run the command line; an error is one line at the end, not a traceback (`ending`).

    `cold`: why the run's warm interpreter did not do it.
    """
    lock.follow()
    with ending.reported(cold):
        app()
