"""Publishing a study anew says which verdicts changed, and nothing if none did."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from conftest import minified, snakemake
from minified.analysis import publish
from minified.analysis.verdict_changes import changes_under_specifications, verdict_changes
from minified.foundations import files
from minified.foundations.errors import ArtefactError
from minified.study import Paths

OLD = """\
claim,part,level,verdict,effect_points
C1,obd_sd,parameter,inconclusive,1.881
C1,obd_sd,neuron,supported,2.5
C4,"8 bits, none",,reported,0.25
E2,obd_sd,neuron,not tested,
"""
NEW = """\
claim,part,level,statement,verdict,effect_points,size
C1,obd_sd,parameter,"a, b",supported,1.2,x
C1,obd_sd,neuron,c,supported,-2.5,x
C1,kfac,neuron,c,contradicted,-0.104,x
E2,obd_sd,neuron,d,negligible,0.004,x
"""


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    former, new = tmp_path / "former.csv", tmp_path / "new.csv"
    former.write_text(OLD)
    new.write_text(NEW)
    return former, new


def test_changed_new_and_vanished_comparisons_are_a_line_each(tables: tuple[Path, Path]) -> None:
    assert verdict_changes(*tables) == [
        "C1 obd_sd, parameter level: inconclusive (+1.88) -> supported (+1.20)",
        "C4 8 bits, none: vanished; was reported (+0.25)",
        "E2 obd_sd, neuron level: not tested -> negligible (+0.00)",
        "C1 kfac, neuron level: new: contradicted (-0.10)",
    ]


def test_the_same_verdicts_and_a_first_publication_are_no_change(
    tables: tuple[Path, Path], tmp_path: Path
) -> None:
    assert verdict_changes(tables[1], tables[1]) == []
    assert verdict_changes(tmp_path / "nothing.csv", tables[1]) == []


def specified(file: Path, verdicts: dict[str, str]) -> Path:
    """A specifications.csv: C2 under each of the specifications, and C4, reported under all."""
    lines = ["claim,part,level,specification,choices,verdict,effect_points"]
    for name, verdict in verdicts.items():
        lines.append(f"C2,fine_tune - scratch,parameter,{name},,{verdict},1.0")
        lines.append(f'C4,"8 bits, none",,{name},,reported,0.1')
    file.write_text("\n".join(lines) + "\n")
    return file


def test_verdicts_that_changed_under_specifications_are_told_with_their_names(
    tmp_path: Path,
) -> None:
    many = [f"s{number}" for number in range(8)]
    former = specified(
        tmp_path / "former.csv",
        {"base": "supported", "decay": "supported", "gone": "supported"}
        | dict.fromkeys(many, "negligible"),
    )
    new = specified(
        tmp_path / "new.csv",
        {"base": "supported", "decay": "inconclusive", "half": "contradicted"}
        | dict.fromkeys(many, "contradicted"),
    )
    assert changes_under_specifications(former, new) == [
        "C2 fine_tune - scratch, parameter level, under decay: supported -> inconclusive",
        "C2 fine_tune - scratch, parameter level, under s0, s1, s2, s3, s4 and 3 more:"
        " negligible -> contradicted",
        "new specifications: half",
        "vanished specifications: gone",
    ]
    assert changes_under_specifications(new, new) == []
    assert changes_under_specifications(tmp_path / "nothing.csv", new) == []
    former.write_text("claim,part,level,verdict,effect_points\n")
    (line,) = changes_under_specifications(former, new)
    assert line.startswith("the former specifications cannot be compared with the new ones: ")
    with pytest.raises(ArtefactError, match="has no column specification"):
        changes_under_specifications(new, former)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"claim,part,level,verdict,effect_points\nC1,a,b",
        b"claim,part,level,verdict,effect_points\nC1,a\n",
        b"claim,part,level,verdict,effect_points\nC1,a,b,c,1,2\n",
        b"claim,part,level,verdict\nC1,a,b,supported\n",
        b"\xff\xfe\n",
        b'claim,part,level,verdict,effect_points\nC1,"a"b,c,d,1\n',
    ],
)
def test_a_former_table_that_cannot_be_read_is_one_line(
    tables: tuple[Path, Path], content: bytes
) -> None:
    tables[0].write_bytes(content)
    (line,) = verdict_changes(*tables)
    assert line.startswith("the former ones cannot be compared with the new ones: ")
    assert str(tables[0]) in line
    tables[1].write_bytes(content)
    with pytest.raises(ArtefactError):
        verdict_changes(*tables)


def test_only_what_this_run_has_published_is_told_at_its_end(tmp_path: Path) -> None:
    paths = Paths("small", tmp_path)
    assert publish.changes(paths, 0) == []
    log = paths.log("publish")
    log.parent.mkdir(parents=True)
    log.write_text("minified: verdicts: C1: a -> b\nminified: done in 1 s\n")
    assert publish.changes(paths, 0) == ["minified: verdicts: C1: a -> b"]
    os.utime(log, (time.time() - 100, time.time() - 100))
    assert publish.changes(paths, time.time() - 50) == []


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "copy")


def other_verdict(file: Path) -> None:
    text = re.sub(r",(supported|contradicted|inconclusive),", ",doubtful,", file.read_text())
    assert "doubtful" in text
    file.write_text(text)


@pytest.mark.slow
def test_a_run_that_publishes_other_verdicts_says_so_at_its_end(folder: Path) -> None:
    other_verdict(folder / "figures/small/tables/claims.csv")
    run = snakemake(folder)
    assert run.returncode == 0, run.stderr
    said = r"minified: verdicts: C2 fine_tune - scratch, parameter level: doubtful ("
    assert said in run.stderr
    assert said in (folder / "results/small/logs/publish.log").read_text()
    again = snakemake(folder)
    assert "minified: verdicts:" not in again.stdout + again.stderr


@pytest.mark.slow
def test_publishing_over_a_damaged_table_says_that_it_cannot_be_compared(folder: Path) -> None:
    (folder / "figures/small/tables/claims.csv").write_bytes(b"\x00")
    for expected in (1, 0):
        done = minified(folder, "publish", "config/small.yaml")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("cannot be compared with the new ones") == expected
        assert done.stdout.count("minified: verdicts:") == expected


@pytest.mark.slow
def test_a_claims_table_of_a_study_has_what_is_compared(finished: Path) -> None:
    table = finished / "figures/small/tables/claims.csv"
    assert verdict_changes(table, table) == []
    assert files.read_text(table)
