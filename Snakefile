# Magnificent Minified Models: from raw data to a verdict on every claim.
#
#   snakemake --cores N                                   the default study, config/digits.yaml
#   snakemake --cores N --config study=NAME_OR_PATH       another study
#
# Rules are thin: each calls a verb of `minified` (see `minified --help`).
from snakemake.utils import min_version

min_version("9.27")


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
