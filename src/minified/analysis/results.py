"""Read tables/results.csv as a typed data frame, checked against the definition of a row."""

import io
from pathlib import Path

import pandas as pd

from minified.foundations import files
from minified.foundations.errors import ArtefactError
from minified.study.rows import COLUMNS, column_type

_DTYPES = {int: "Int64", float: "float64", str: "string"}


def read(path: Path) -> pd.DataFrame:
    """The rows of a study; empty fields are NA, integers stay integers."""
    frame = read_csv(path, {c: _DTYPES[column_type(c)[0]] for c in COLUMNS})
    if list(frame.columns) != list(COLUMNS):
        odd = sorted(set(frame.columns) ^ set(COLUMNS))
        raise ArtefactError(path, f"columns {', '.join(odd) or 'in another order'} do not fit")
    for column in COLUMNS:
        if not column_type(column)[1] and frame[column].isna().any():
            line = int(frame[column].isna().to_numpy().argmax()) + 2
            raise ArtefactError(path, f"line {line}: {column} is empty")
    return frame


def typed(rows: list[dict[str, str]]) -> pd.DataFrame:
    """Rows as `files.read_rows` returns them, as `read` would return them."""
    columns = {
        column: pd.Series([row[column] or None for row in rows], dtype="string").astype(
            _DTYPES[column_type(column)[0]]
        )
        for column in COLUMNS
    }
    return pd.DataFrame(columns)


def read_csv(
    path: Path, dtypes: dict[str, str] | None = None, columns: tuple[str, ...] | None = None
) -> pd.DataFrame:
    """Any table of the pipeline, with the `columns` it must have; floats are read exactly."""
    try:
        # The word "none" is a regime, not a missing value: only an empty field is missing.
        frame = pd.read_csv(
            io.StringIO(files.read_text(path)),
            dtype=dtypes,
            keep_default_na=False,
            na_values=[""],
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise ArtefactError(path, f"not a table of this pipeline ({error})") from None
    if columns is not None and tuple(frame.columns) != columns:
        raise ArtefactError(path, f"its columns are not {', '.join(columns)}")
    return frame
