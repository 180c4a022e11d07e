"""How a run opens: with its study, or with one line that says why it cannot run.

Snakemake prints an error of a workflow with the places in the code that it passed through.
`in_one_line` around what a workflow or a command does prints the error alone.
"""

import contextlib
import getpass
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from minified.foundations import files
from minified.foundations.errors import MinifiedError, StudyError, message
from minified.run.lock import RECORDS
from minified.study.refusals import cut, one_line, short

if TYPE_CHECKING:
    from minified.study.studies import Study

# What Snakemake makes in its folder. (It gets by without `log`.)
_SNAKEMAKES = (
    *("auxiliary", "benchmarks", "conda", "conda-archive", "incomplete", "iocache", "locks"),
    *("metadata", "shadow", "singularity", "source_cache"),
)


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
    """Turn an error that a user can fix into one line on standard error, and exit status 1."""
    try:
        yield
    except (MinifiedError, OSError) as error:
        stop(message(error))


def say(line: str) -> None:
    """Print one line on standard error, after all that was printed before."""
    with contextlib.suppress(OSError, ValueError):  # a full disk, a closed stream
        sys.stdout.flush()
    print(f"minified: {one_line(line)}", file=sys.stderr, flush=True)


def stop(problem: str) -> NoReturn:
    """Print what is wrong as one line on standard error, and end with exit status 1."""
    say(problem)
    sys.exit(1)


def study(config: Mapping[str, Any]) -> "Study":
    """The study that Snakemake's `--config study=NAME_OR_PATH` names; without one, `digits`.

    Raises:
        StudyError: there is no such study, it is wrong, or the configuration says something else.
    """
    # Imported here: a mistake in a built-in record is then one line, as all others are.
    from minified.study import studies

    for key in config:
        if key != "study":
            raise StudyError(
                f"--config {cut(str(key), 60)}: unknown key; a study is one file: --config"
                " study=NAME_OR_PATH"
            )
    named = config.get("study", "digits")
    # Snakemake reads the value as YAML. A name of digits is a number then, and no mistake.
    if isinstance(named, bool) or not isinstance(named, str | int):
        shown = "empty" if named is None else short(named)
        raise StudyError(f"--config study: {shown}: must be the name or the path of a study")
    return studies.load(str(named))


def refuse_cores(cores: int | None) -> None:
    """Refuse to wait forever for a core; None is for clusters.

    Raises:
        MinifiedError: there is none.
    """
    if cores is not None and cores < 1:
        raise MinifiedError(f"--cores {cores}: must be a number from 1, or all")


def refuse_braces(**paths: str) -> None:
    """Refuse paths that Snakemake would take for patterns; it has no way to escape them.

    Raises:
        MinifiedError: names what has such a path, and the path.
    """
    for what, path in paths.items():
        if "{" in path or "}" in path:
            raise MinifiedError(
                f"{what.replace('_', ' ')} {path}: Snakemake takes braces in a path for a"
                " wildcard; move or rename it so that its path has no { and no }"
            )


def refuse_obstacles(outputs: Iterable[Path | str]) -> None:
    """Refuse to run where something else is in the place of a folder: Snakemake's, or of `outputs`.

    Raises:
        MinifiedError: names what is no folder.
    """
    if not RECORDS.exists() and not os.access(".", os.W_OK | os.X_OK):
        raise MinifiedError(
            f"{Path.cwd()}: cannot be written, and Snakemake keeps its records here"
        )
    for file in (RECORDS / "metadata").glob("*"):
        if not os.access(file, os.R_OK):
            raise MinifiedError(
                f"{file.parent}: Snakemake's records cannot be read; they are another user's, whose"
                " run has not ended yet or was killed"
            )
    records = {RECORDS / name for name in _SNAKEMAKES}
    parents = {folder for file in outputs for folder in Path(file).parents}
    for folder in sorted({RECORDS, *records, *parents}):
        if os.path.lexists(folder) and not folder.is_dir():
            raise MinifiedError(f"{folder}: must be a folder; remove or rename it")


def share() -> None:
    """Let other users look at a run: Snakemake hides its records of files from them."""
    for file in (RECORDS / "metadata").glob("*"):
        with contextlib.suppress(OSError):
            file.chmod(0o666 & ~files.umask())


def spare(persistence: Any) -> None:
    """Let a dry run pass in a folder of another user: Snakemake would write its inventory there."""
    if not os.access(persistence.iocache_path, os.W_OK):
        persistence.save_iocache = persistence.drop_iocache = lambda: None


def for_shell(path: str) -> str:
    """A relative path that no command takes for an option."""
    return f"./{path}" if path.startswith("-") else path


def name_user() -> None:
    """Give a user without a name, as in some containers, a number: Snakemake asks for one."""
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        os.environ["LOGNAME"] = str(os.getuid())


def name_project(folder: str | Path) -> None:
    """Say where the project is, for environment.post-deploy.sh to install it from there."""
    os.environ["MINIFIED_PROJECT"] = str(folder)
