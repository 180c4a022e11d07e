"""The verbs of `minified` that are no stage of a study: they look, try, compare and explain."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from minified.cli import ending
from minified.cli.application import Study, app
from minified.foundations.errors import MinifiedError


@app.command()
def check(study: Study) -> None:
    """Validate a study: status 1 and one line if it is wrong, else what it will cost; a warning if
    its device is not here.
    """
    from minified.run import device, opening, submissions, tasks
    from minified.study import Paths, shared, studies

    loaded = studies.load(study)
    if loaded.specified:
        _, paths = tasks.opened(loaded, Paths(loaded.name), "specifications")
        jobs = len(shared.rows(loaded, paths))
        said = f"{len(loaded.specified)} specifications, {jobs} different"
    else:
        said = f"{len(list(loaded.jobs()))}"
    blocks = f" in blocks of {loaded.replicates_per_job}" if loaded.blocks else ""
    print(f"{loaded.file}: {said} jobs x {loaded.replicates} replicates{blocks}")
    sized = submissions.sizing(loaded, Paths(loaded.name))
    print(sized.line(submissions.side_by_side(loaded)))
    if warning := device.missing(loaded):
        opening.say(f"warning: {warning}")


@app.command()
def status(study: Study) -> None:
    """Say how far a study is: jobs done, running, waiting and failed, and the time that is left."""
    from minified.run import progress
    from minified.study import Paths, studies

    loaded = studies.load(study)
    if (standing := progress.noted(loaded.name)) is None:
        standing = progress.found(loaded, Paths(loaded.name))
        ended = "finished" if standing.done == standing.jobs else "no run is working on it"
        print(f"{standing.line()}; {ended}")
    else:
        print(standing.line())


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
