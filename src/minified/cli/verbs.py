"""The verbs of `minified` that are stages: what the rules call, and what a person can call by hand.

Each verb reads from and writes to results/STUDY/, as the workflow does. One function runs all
stages (`minified.cli.stages`); this module has their options. `minified.cli.asides` has the verbs
that are no stage.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

import minified.cli.asides  # noqa: F401 (its verbs)
from minified.cli import ending
from minified.cli.application import (
    RESULTS,
    Block,
    Level,
    Method,
    Regime,
    Results,
    Sparsity,
    Specification,
    Study,
    app,
)
from minified.run import lock


def _run(
    stage: str,
    study: str,
    results: Path,
    of: tuple[str | None, str | None] = (None, None),
    **options: Any,
) -> None:
    """Run a stage `of` a specification and a block, each by its name if it is given."""
    # Imported here: a mistake in a built-in record is then one line, as all others are.
    from minified.cli import stages

    with ending.returning(stage):
        stages.run(stage, study, results, specification=of[0], block=of[1], **options)


@app.command()
def prepare(
    study: Study,
    root: Annotated[
        Path | None,
        typer.Option(
            help="The data root; by default $MINIFIED_DATA or, if not set, the study's data_root."
        ),
    ] = None,
    specification: Specification = None,
    results: Results = RESULTS,
) -> None:
    """Split and normalise the data set: data.safetensors."""
    _run("prepare", study, results, (specification, None), root=root)


@app.command()
def train(
    study: Study,
    specification: Specification = None,
    block: Block = None,
    results: Results = RESULTS,
) -> None:
    """Train the dense baselines of all replicates: baseline.safetensors."""
    _run("train", study, results, (specification, block))


@app.command()
def evaluate(
    study: Study,
    specification: Specification = None,
    block: Block = None,
    results: Results = RESULTS,
) -> None:
    """Measure the dense baselines: baseline.csv."""
    _run("evaluate", study, results, (specification, block))


@app.command()
def derivatives(
    study: Study,
    level: Level,
    specification: Specification = None,
    block: Block = None,
    results: Results = RESULTS,
) -> None:
    """Differentiate the loss for OBD and its variations: derivatives/LEVEL.safetensors."""
    _run("derivatives", study, results, (specification, block), level=level)


@app.command()
def score(
    study: Study,
    method: Method,
    specification: Specification = None,
    block: Block = None,
    results: Results = RESULTS,
) -> None:
    """Score every removable unit of every baseline: METHOD/scores.safetensors."""
    _run("score", study, results, (specification, block), method=method)


@app.command()
def scratch(
    study: Study,
    sparsity: Sparsity,
    regime: Regime = "scratch",
    specification: Specification = None,
    block: Block = None,
    results: Results = RESULTS,
) -> None:
    """Train fresh networks of the widths that a neuron sparsity leaves: scratch/REGIME/SPARSITY."""
    _run("scratch", study, results, (specification, block), sparsity=repr(sparsity), regime=regime)


@app.command()
def iterate(
    study: Study,
    method: Method,
    sparsity: Sparsity,
    regime: Regime,
    specification: Specification = None,
    block: Block = None,
    results: Results = RESULTS,
) -> None:
    """Score, remove and train in rounds, up to the last removal: METHOD/SPARSITY/rounds/REGIME."""
    _run(
        "iterate",
        study,
        results,
        (specification, block),
        method=method,
        sparsity=repr(sparsity),
        regime=regime,
    )


@app.command()
def retrain(
    study: Study,
    method: Method,
    sparsity: Sparsity,
    regime: Regime,
    specification: Specification = None,
    block: Block = None,
    results: Results = RESULTS,
) -> None:
    """Remove what scores lowest and retrain: METHOD/SPARSITY/REGIME.csv (and .safetensors)."""
    _run(
        "retrain",
        study,
        results,
        (specification, block),
        method=method,
        sparsity=repr(sparsity),
        regime=regime,
    )


@app.command()
def quantize(
    study: Study,
    bits: Annotated[int, typer.Option(min=1, max=8, help="Bits per weight.")],
    regime: Annotated[
        str, typer.Option(help="When weights are rounded: none (after training) or fine_tune.")
    ],
    specification: Specification = None,
    block: Block = None,
    results: Results = RESULTS,
) -> None:
    """Round the weights to a grid of 2^bits points: quantization/BITS/REGIME.csv."""
    _run("quantize", study, results, (specification, block), bits=bits, regime=regime)


@app.command()
def damage(
    study: Study,
    removal: Annotated[
        str, typer.Option(help="A level, or a criterion with its own way of removing (merging).")
    ],
    block: Block = None,
    results: Results = RESULTS,
) -> None:
    """Measure what single removals do to the loss: damage/REMOVAL.csv."""
    _run("damage", study, results, (None, block), removal=removal)


@app.command()
def aggregate(study: Study, results: Results = RESULTS) -> None:
    """Collect the rows of every job, with an error if any is missing: tables/results.csv."""
    _run("aggregate", study, results)


@app.command()
def claims(study: Study, results: Results = RESULTS) -> None:
    """Test the abstract's claims: tables/claims.csv, tables/claims_detail.csv."""
    _run("claims", study, results)


@app.command()
def specifications(study: Study, results: Results = RESULTS) -> None:
    """Test the claims under every specification: tables/specifications.csv."""
    _run("specifications", study, results)


@app.command()
def selections(study: Study, results: Results = RESULTS) -> None:
    """Compare what the criteria remove: tables/kept.csv, tables/overlap.csv."""
    _run("selections", study, results)


@app.command()
def correlate(study: Study, results: Results = RESULTS) -> None:
    """Compare scores with measured damage: tables/damage.csv, tables/damage_units.csv."""
    _run("correlate", study, results)


@app.command()
def figures(
    study: Study,
    figure: Annotated[
        list[str] | None, typer.Option(help="Name of a figure; may be repeated. By default all.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Draw them from the tables in DIR, a published study, into DIR; no results are"
            " needed.",
        ),
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Draw figures from the tables: figures/NAME.svg, .pdf and .png."""
    if folder is None:
        _run("figures", study, results, figure=figure)
        return
    from minified.run import redraw
    from minified.study import studies

    with ending.returning("figures"):
        redraw.redraw(studies.load(study), folder, figure or ())


@app.command()
def tables(study: Study, results: Results = RESULTS) -> None:
    """Write the tables as csv, md and tex: accuracy, sizes, claims, damage."""
    _run("tables", study, results)


@app.command()
def notebook(
    study: Study,
    notebook: Annotated[Path, typer.Option(help="What to execute.")] = Path(
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
def timings(study: Study, results: Results = RESULTS) -> None:
    """Summarise where the time went: jobs.csv, timings.csv and .md in figures/STUDY/machine."""
    _run("timings", study, results)


def main(cold: str = "") -> None:
    """Run the command line; an error is one line at the end, not a traceback (`ending`).

    `cold`: why the run's warm interpreter did not do it.
    """
    lock.follow()
    with ending.reported(cold):
        app()
