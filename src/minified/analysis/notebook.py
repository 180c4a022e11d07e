"""`minified notebook`: execute notebooks/explore.ipynb on a study's results."""

from pathlib import Path

from minified.foundations import files
from minified.foundations.errors import MinifiedError
from minified.study.paths import Paths
from minified.study.studies import Study


def notebook(study: Study, paths: Paths, source: Path) -> None:
    """Run the notebook with papermill and keep the executed copy."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    with files.replacing(paths.notebook) as executed:
        try:
            papermill.execute_notebook(
                source,
                executed,
                parameters={"tables": str(paths.table("results.csv").parent.absolute())},
                kernel_name="python3",
                progress_bar=False,
            )
        except PapermillExecutionError as error:
            raise MinifiedError(
                f"{source}: cell {error.cell_index}: {error.ename}: {error.evalue}"
            ) from None
        _forget_where_it_ran(executed)


def _forget_where_it_ran(executed: Path) -> None:
    """Remove papermill's times and paths from the executed copy."""
    import nbformat

    copy = nbformat.read(executed, as_version=4)
    copy.metadata.pop("papermill", None)
    for cell in copy.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    nbformat.write(copy, executed)
