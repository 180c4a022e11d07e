"""`minified publish`: copy a finished study's figures and tables to where they are committed."""

import shutil
from pathlib import Path

from minified.analysis.catalogue import FORMATS, TABLES, figure_names
from minified.foundations import files
from minified.foundations.errors import ArtefactError
from minified.study.paths import Paths
from minified.study.studies import Study


def publish(study: Study, paths: Paths) -> None:
    """Make figures/STUDY hold exactly this study's figures, its tables under tables/, and its
    provenance.

    Files there that the study no longer makes are removed, so that only what the current code makes
    is committed; other folders (machine/) are left alone. The stamp in the results lists the
    published files and their checksums.
    """
    target = paths.publication
    wanted = {
        target / f"{name}.{kind}": paths.figure(name, kind)
        for name in figure_names(study)
        for kind in FORMATS
    } | {target / "tables" / name: paths.table(name) for name in TABLES}
    wanted[target / "provenance.json"] = paths.provenance
    for source in wanted.values():
        files.verify(source)
    for destination, source in wanted.items():
        with files.replacing(destination, checksum=False) as temporary:
            shutil.copyfile(source, temporary)
    for folder in (target, target / "tables"):
        for file in folder.iterdir():
            if file.is_file() and file not in wanted:
                file.unlink()
    listing = [f"{files.sha256(file)}  {file.as_posix()}\n" for file in sorted(wanted)]
    files.write_text(paths.published, "".join(listing))


def intact(paths: Paths) -> bool:
    """Whether the published files are unchanged; True if none were published."""
    if not paths.published.is_file():
        return True
    try:
        lines = [line.split("  ", 1) for line in files.read_text(paths.published).splitlines()]
        return all(files.sha256(Path(file)) == checksum for checksum, file in lines)
    except (ArtefactError, OSError, ValueError):
        return False
