"""`minified publish`: copy a finished study's figures and tables to where they are committed."""

import shutil

from minified import files
from minified.analysis import FORMATS, TABLES, figure_names
from minified.paths import Paths
from minified.study import Study


def publish(study: Study, paths: Paths) -> None:
    """Make figures/STUDY hold exactly this study's figures, its tables under tables/, and its
    provenance.

    Files of the same place that the study no longer makes are removed, so that what is committed
    is what today's code draws; other folders (machine/) are left alone. The stamp in the results
    says that this was done, and of what.
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
    listing = "".join(f"{destination.as_posix()}\n" for destination in sorted(wanted))
    files.write_text(paths.published, listing)
