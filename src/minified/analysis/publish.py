"""`minified publish`: copy a finished study's figures and tables to where they are committed."""

import shutil
from collections.abc import Callable
from pathlib import Path

from minified.analysis.catalogue import FORMATS, figure_names, published_tables
from minified.analysis.verdict_changes import changes_under_specifications, verdict_changes
from minified.foundations import files
from minified.foundations.errors import ArtefactError, MinifiedError
from minified.study.paths import Paths
from minified.study.studies import Study

_CHANGE = "minified: verdicts: "


def publish(study: Study, paths: Paths) -> None:
    """Put this study's figures, tables and provenance into figures/STUDY.

    Files there that an earlier run published and this one does not are removed, if nobody has
    changed them since. All others are left alone, and named if they are among the published ones.
    Changed verdicts are printed, one line each.
    The stamp in the results lists the published files and their checksums.

    Raises:
        MinifiedError: figures/STUDY or something in it is a symbolic link, or not what a published
            file or folder can replace.
    """
    target = paths.publication
    wanted = {
        target / f"{name}.{kind}": paths.figure(name, kind)
        for name in figure_names(study)
        for kind in FORMATS
    } | {target / "tables" / name: paths.table(name) for name in published_tables(study)}
    wanted[target / "provenance.json"] = paths.provenance
    for source in wanted.values():
        files.verify(source)
    for folder in (target.parent, target, target / "tables"):
        refuse(folder, Path.is_dir, "a folder")
    for file in wanted:
        refuse(file, Path.is_file, "a file")
    changes = []
    for compare, table in (
        (verdict_changes, "claims.csv"),
        *([(changes_under_specifications, "specifications.csv")] if study.specified else []),
    ):
        changes += compare(target / "tables" / table, paths.table(table))
    former = _published(paths)
    for destination, source in wanted.items():
        with files.replacing(destination, checksum=False) as temporary:
            shutil.copyfile(source, temporary)
    for file, checksum in former.items():
        if file not in wanted and _within(file, target) and _is(file, checksum):
            file.unlink()
    listing = [f"{files.sha256(file)}  {file.as_posix()}\n" for file in sorted(wanted)]
    files.write_text(paths.published, "".join(listing))
    for file in others(paths):
        print(f"minified: {file}: was not published by this study; it is left alone")
    for line in changes:
        print(f"{_CHANGE}{line}")


def changes(paths: Paths, since: float) -> list[str]:
    """The changed verdicts that a publication after `since` (as of `time.time`) has printed."""
    log = paths.log("publish")
    try:
        if log.stat().st_mtime < since:
            return []
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.startswith(_CHANGE)]


def others(paths: Paths) -> list[Path]:
    """The files among the published ones that this study has not published."""
    former, target = _published(paths), paths.publication
    return [
        file
        for folder in (target, target / "tables")
        if former and folder.is_dir()
        for file in sorted(folder.iterdir())
        if file not in former and not file.is_dir()
    ]


def altered(paths: Paths) -> Path | None:
    """A published file that was altered or deleted since, or the stamp itself; None if none was."""
    if not paths.published.is_file():
        return None
    former = _published(paths)
    wrong = (file for file, checksum in former.items() if not _is(file, checksum))
    return next(wrong, None) if former else paths.published


def _published(paths: Paths) -> dict[Path, str]:
    """The files that were published last, with their checksums; none if nobody knows."""
    try:
        lines = [line.split("  ", 1) for line in files.read_text(paths.published).splitlines()]
        return {Path(file): checksum for checksum, file in lines}
    except (ArtefactError, ValueError):
        return {}


def _is(file: Path, checksum: str) -> bool:
    """Whether `file` is a plain file with these bytes."""
    try:
        return not file.is_symlink() and file.is_file() and files.sha256(file) == checksum
    except OSError:
        return False


def _within(file: Path, target: Path) -> bool:
    """Whether `file` is one that is published in `target`, by its name alone."""
    return ".." not in file.parts and file.parent in (target, target / "tables")


def refuse(path: Path, allowed: Callable[[Path], bool], kind: str) -> None:
    """Refuse to write where a link leads elsewhere, or over what is not of this `kind`.

    Raises:
        MinifiedError: names what is in the way.
    """
    if path.is_symlink():
        raise MinifiedError(
            f"{path}: is a symbolic link, so publishing would write elsewhere; replace it by {kind}"
        )
    if path.exists() and not allowed(path):
        raise MinifiedError(f"{path}: is not {kind}; move it away, then publish again")
