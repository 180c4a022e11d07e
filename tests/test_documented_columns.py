"""docs/results.md names the columns of the tables of claims: all of them, and no others."""

import re

import pytest

from conftest import REPOSITORY
from minified.analysis import records
from minified.study.rows import KEPT_COLUMNS, OVERLAP_COLUMNS

TEXT = (REPOSITORY / "docs" / "results.md").read_text()


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("claims.csv", records.VERDICT_COLUMNS),
        ("claims_detail.csv", records.DETAIL_COLUMNS),
        ("specifications.csv", records.SPECIFIED_COLUMNS),
        ("specifications_summary.csv", records.SUMMARY_COLUMNS),
        ("specifications_axes.csv", records.OPTION_COLUMNS),
        ("curves.csv", records.CURVE_COLUMNS),
        ("kept.csv", KEPT_COLUMNS),
        ("overlap.csv", OVERLAP_COLUMNS),
    ],
)
def test_every_column_of_a_table_is_described_once(table: str, columns: tuple[str, ...]) -> None:
    part = TEXT.partition(f"**{table}**")[2]
    lines = part[part.index("| column |") :].partition("\n\n")[0].splitlines()[2:]
    named = [name for line in lines for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert sorted(named) == sorted(columns)


def test_the_rows_of_specifications_are_described() -> None:
    part = TEXT.partition("**specification_rows.csv**")[2].partition("\n\n")[0]
    named = re.findall(r"`(\w+)`", part)
    assert tuple(named) == records.SPECIFICATION_ROW_COLUMNS
