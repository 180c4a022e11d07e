# Magnificent Minified Models: from raw data to a verdict on every claim.
#
#   snakemake --cores N                                   the default study, config/digits.yaml
#   snakemake --cores N --config study=NAME_OR_PATH       another study
#
# Rules are thin: each calls a verb of `minified` (see `minified --help`).
from snakemake.utils import min_version

min_version("9.27")

try:
    from minified.foundations import bytecode

    bytecode.begin()
    from minified.run import opening
except ModuleNotFoundError as error:
    missing = str(error.name).partition(".")[0]
    raise SystemExit(
        f"minified: {missing} is not installed beside Snakemake; `make environment` installs"
        " both in .venv"
    ) from None

# What a user can fix is one line, and not Snakemake's account of where in the code it was noticed.
with opening.in_one_line():

    include: "workflow/rules/common.smk"
    include: "workflow/rules/data.smk"
    include: "workflow/rules/baseline.smk"
    include: "workflow/rules/methods.smk"
    include: "workflow/rules/analysis.smk"
    include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        PATHS.published,
        PATHS.provenance,
        PATHS.notebook,
        # Listed as well, since Snakemake notices the loss of a file only if it is a target.
        FIGURE_FILES,
        TABLE_FILES,
        [PATHS.rows(job) for job in JOBS],
        PATHS.table("damage_units.csv"),
