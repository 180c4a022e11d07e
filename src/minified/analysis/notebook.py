"""`minified notebook`: execute notebooks/explore.ipynb on a study's results."""

from pathlib import Path

from minified import files
from minified.errors import MinifiedError
from minified.paths import Paths
from minified.study import Study


def execute(study: Study, paths: Paths, notebook: Path) -> None:
    """Run the notebook with papermill and keep the executed copy."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    with files.replacing(paths.notebook) as executed:
        try:
            papermill.execute_notebook(
                notebook,
                executed,
                parameters={"tables": str(paths.table("results.csv").parent.absolute())},
                kernel_name="python3",
                progress_bar=False,
            )
        except PapermillExecutionError as error:
            raise MinifiedError(
                f"{notebook}: cell {error.cell_index}: {error.ename}: {error.evalue}"
            ) from None
        _forget_where_it_ran(executed)


def _forget_where_it_ran(executed: Path) -> None:
    """Take papermill's times and paths out of the copy."""
    import nbformat

    found = nbformat.read(executed, as_version=4)
    found.metadata.pop("papermill", None)
    for cell in found.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    nbformat.write(found, executed)
