"""`minified notebook`: execute notebooks/explore.ipynb on a study's results."""

import json
import logging
import os
import stat
from pathlib import Path
from typing import Any

from minified.foundations import files
from minified.foundations.errors import MinifiedError
from minified.study.paths import Paths
from minified.study.refusals import cut
from minified.study.studies import Study


def notebook(study: Study, paths: Paths, source: Path) -> None:
    """Run the notebook with papermill and keep the executed copy.

    Raises:
        MinifiedError: `source` is no notebook, or a cell of it fails; cells are counted from 1.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    parsed, place = _read(source)
    # What it has to say of a failure is in its error.
    logging.getLogger("papermill").addHandler(logging.NullHandler())
    with files.replacing(paths.notebook) as executed:
        try:
            papermill.execute_notebook(
                parsed,
                # papermill would fill in words in braces.
                str(executed).replace("{", "{{").replace("}", "}}"),
                parameters={"tables": _printable(paths.table("results.csv").parent)},
                kernel_name="python3",
                language="python",
                progress_bar=False,
                extra_arguments=["--IPKernelApp.log_level=ERROR"],
            )
        except PapermillExecutionError as error:
            where = _cell(error.cell_index, place)
            problem = ": ".join(filter(None, (error.ename, _first_line(error.evalue))))
            raise MinifiedError(f"{source}: {where}{problem}") from None
        # No kernel, or one that ended; a notebook whose outputs cannot be written.
        except (RuntimeError, LookupError, ValueError) as error:
            where = _cell(_last_begun(executed), place)
            problem = f"cannot be executed ({type(error).__name__}: {_first_line(str(error))})"
            raise MinifiedError(f"{source}: {where}{problem}") from None
        _forget_where_it_ran(executed)


def _read(source: Path) -> tuple[Any, int]:
    """The notebook, and the place of its cell of parameters."""
    import nbformat

    try:
        # Reading a device or a pipe might never end.
        if not stat.S_ISREG(source.stat().st_mode):
            raise MinifiedError(f"{source}: must be a file, not a folder, device or pipe")
        content = source.read_bytes()
    except OSError as error:
        raise MinifiedError(f"{source}: cannot be read ({error.strerror})") from None
    try:
        values = json.loads(content)
    except (RecursionError, ValueError):
        raise MinifiedError(f"{source}: is no notebook (is not JSON)") from None
    if not isinstance(values, dict) or "nbformat" not in values:
        raise MinifiedError(f"{source}: is no notebook (has no key nbformat)")
    try:
        # Twice, since what reads an older version returns another class.
        newest = nbformat.v4.upgrade(nbformat.reads(json.dumps(values), as_version=4))
        parsed = nbformat.reads(nbformat.writes(newest), as_version=4)
        nbformat.validate(parsed)
        language = parsed.metadata.get("language_info", {}).get("name", "python")
        tags = [cell.metadata.get("tags", []) for cell in parsed.cells]
    except Exception as error:  # nbformat raises whatever its way through the file comes to
        problem = _first_line(str(error))
        raise MinifiedError(f"{source}: is no notebook of version 4 ({problem})") from None
    if language != "python":
        raise MinifiedError(f"{source}: is written in {cut(str(language), 40)}; must be Python")
    places = [place for place, tagged in enumerate(tags) if "parameters" in tagged]
    if not places:
        raise MinifiedError(
            f"{source}: has no cell with the tag `parameters`, after which `tables` could be set"
        )
    return parsed, places[0]


def _printable(folder: Path) -> str:
    """The absolute path of a folder; the relative one if the notebook could not hold the other."""
    path = os.path.abspath(folder)  # noqa: PTH100 (keeps links)
    try:
        path.encode()
    except UnicodeEncodeError:
        return str(folder)
    return path


def _last_begun(executed: Path) -> int:
    """The place of the last cell that papermill began; -1 if it began none."""
    import nbformat

    try:
        cells = nbformat.read(executed, as_version=4).cells
    except (OSError, ValueError):
        return -1
    begun = [cell.metadata.get("papermill", {}).get("start_time") for cell in cells]
    return max((place for place, time in enumerate(begun) if time), default=-1)


def _cell(place: int, parameters: int) -> str:
    """What a message calls the cell at this place of the copy, where one cell was put in."""
    return f"cell {place + (place <= parameters)}: " if place >= 0 else ""


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return cut(lines[0], 200) if lines else ""


def _forget_where_it_ran(executed: Path) -> None:
    """Remove papermill's times and paths from the executed copy."""
    import nbformat

    copy = nbformat.read(executed, as_version=4)
    copy.metadata.pop("papermill", None)
    for cell in copy.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    nbformat.write(copy, executed)
