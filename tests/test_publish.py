"""Publishing writes and deletes what is its own, where it is told to, and nothing else."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import minified, published, snakemake
from minified.foundations import files
from minified.run import lock

pytestmark = pytest.mark.slow

PUBLISH = ("publish", "config/small.yaml")
STAMP = "results/small/published.txt"


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A finished run, to be spoilt."""
    return shutil.copytree(finished, tmp_path / "copy")


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file, folder and link below a folder, with its date and size; Snakemake's own log and
    its inventory of files are left out.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if place.parts[0] == ".snakemake" and place.parts[1:2] in (("log",), ("iocache",)):
            continue
        status = path.lstat()
        if not (path.is_dir() and place.parts == (".snakemake",)):
            found[str(place)] = (status.st_mtime_ns, status.st_size)
    return found


def stamp(folder: Path, *lines: str) -> None:
    """Have the stamp say that these were published, too."""
    file = folder / STAMP
    files.write_text(file, file.read_text() + "".join(f"{line}\n" for line in lines))


def test_files_of_the_user_stay_and_are_named(folder: Path) -> None:
    target = folder / "figures" / "small"
    own = [
        target / "README.md",
        target / "claims (my copy).svg",
        target / "tables" / "notes.csv",
        target / ".hidden",
        target / "machine" / "timings.csv",
        target / "talk" / "slides.pdf",
    ]
    for file in own:
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    done = minified(folder, *PUBLISH)
    assert done.returncode == 0, done.stderr
    assert all(file.read_text() == "mine" for file in own)
    said = done.stdout.splitlines()
    assert [line.split(": ")[1] for line in said] == [
        f"figures/small/{name}"
        for name in (".hidden", "README.md", "claims (my copy).svg", "tables/notes.csv")
    ]
    assert all(line.endswith("was not published by this study; it is left alone") for line in said)


def test_what_an_earlier_run_published_is_deleted_if_it_is_as_it_was(
    folder: Path, finished: Path, tmp_path: Path
) -> None:
    target = folder / "figures" / "small"
    untouched, altered = target / "old.svg", target / "tables" / "old.csv"
    outside = [tmp_path / "outside.txt", folder / "config" / "small.yaml", target / "x" / "y.svg"]
    outside[2].parent.mkdir()
    for file in (untouched, altered, outside[0], outside[2]):
        file.write_text("once published")
    listed = [
        (untouched, "figures/small/old.svg"),
        (altered, "figures/small/tables/old.csv"),
        (outside[0], str(outside[0])),
        (outside[0], "figures/small/../../../outside.txt"),
        (outside[1], "config/small.yaml"),
        (outside[2], "figures/small/x/y.svg"),
    ]
    stamp(folder, *(f"{files.sha256(file)}  {name}" for file, name in listed))
    altered.write_text("edited since")
    done = minified(folder, *PUBLISH)
    assert done.returncode == 0, done.stderr
    assert not untouched.exists()
    assert altered.read_text() == "edited since"
    assert all(file.exists() for file in outside)
    assert "figures/small/tables/old.csv: was not published by this study" in done.stdout
    assert set(published(finished)) <= set(published(folder))


def to_folder(path: Path, elsewhere: Path) -> None:
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def to_nowhere(path: Path, elsewhere: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    path.symlink_to(elsewhere)


def to_other_kind(path: Path, elsewhere: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("a file")
    else:
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("spoil", [to_folder, to_nowhere, to_other_kind])
@pytest.mark.parametrize(
    "place",
    [
        "figures",
        "figures/small",
        "figures/small/tables",
        "figures/small/claims.svg",
        "figures/small/tables/results.csv",
        "figures/small/provenance.json",
    ],
)
def test_a_link_or_another_kind_of_thing_in_the_way_is_refused_and_nothing_is_written(
    folder: Path, tmp_path: Path, place: str, spoil: Callable[[Path, Path], None]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    spoil(folder / place, elsewhere)
    before = state(folder), state(tmp_path)
    done = minified(folder, *PUBLISH)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    kind = "is not a f" if spoil is to_other_kind else "is a symbolic link"
    assert line.startswith(f"minified: {place}: {kind}")
    assert (state(folder), state(tmp_path)) == before


LOOKS = ["-n", "--lint", "--report"]
MORE_LOOKS = ["--dag", "--rulegraph", "--list", "--summary", "--detailed-summary"]


@pytest.mark.parametrize(
    "look", [*LOOKS, *(pytest.param(look, marks=pytest.mark.campaign) for look in MORE_LOOKS)]
)
def test_a_command_that_only_looks_writes_nothing_and_takes_no_lock(
    folder: Path, tmp_path: Path, look: str
) -> None:
    # Something is to be done: a published file is missing, and a record.
    (folder / "figures" / "small" / "claims.svg").unlink()
    (folder / "results" / "small" / "records" / "damage" / "neuron.json").unlink()
    # Snakemake's log begins by making its folders.
    snakemake(folder, "-n", "--quiet", "all")
    before = state(folder)
    arguments = [look, *([str(tmp_path / "report.html")] if look == "--report" else [])]
    run = snakemake(folder, *arguments)
    assert run.returncode in (0, 1 if look == "--lint" else 0), run.stderr
    assert state(folder) == before
    held = snakemake_beside_a_run(folder, *arguments)
    assert "another run" not in held
    assert state(folder) == before


def snakemake_beside_a_run(folder: Path, *arguments: str) -> str:
    """What a command says while another run of the study is working."""
    file = folder / ".snakemake" / "minified-small.lock"
    before = file.stat()
    with open(file, "a") as held:
        lock.fcntl.flock(held, lock.fcntl.LOCK_EX)
        run = snakemake(folder, *arguments)
        assert run.returncode in (0, 1 if "--lint" in arguments else 0), run.stderr
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    return run.stdout + run.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_another_user_may_look(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    folder.chmod(0o755)
    for at in (tmp_path, *tmp_path.parents[:2]):
        at.chmod(0o755)
    try:
        looked = snakemake(
            folder, "-n", "--quiet", "all", user=65534, env={"HOME": str(tmp_path / "none")}
        )
    except PermissionError:
        pytest.skip("the other user cannot reach the interpreter")
    if "Permission denied" in looked.stderr and str(folder) not in looked.stderr:
        pytest.skip("the other user cannot read the interpreter's files")
    assert looked.returncode == 0, looked.stderr[-2000:]
