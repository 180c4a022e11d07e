# The study, where its files are, and what each job depends on, all taken from the library.
import os

from minified.analysis import publish
from minified.analysis.catalogue import FIGURES, FORMATS, TABLES, WRITTEN_TABLES, figure_names
from minified.cli import server
from minified.cli.stages import STAGES
from minified.criteria.record import LEVELS
from minified.data.catalogue import CATALOGUE
from minified.run import failures, lock, provenance, sources
from minified.study import studies
from minified.study.methods import Job
from minified.study.paths import Paths
from minified.study.regimes import ROUNDINGS
from minified.study.settings import Settings

# Every setting that a job uses is among its `params`, so the study's file itself is not an input:
# an edit makes stale the jobs whose settings it changes, and nothing else.
STUDY = studies.load(config.get("study", "digits"))
STUDY_FILE = os.path.relpath(STUDY.file)
ENVIRONMENT = "../../environment.yml"
NOTEBOOK = sources.relative(os.path.join(workflow.basedir, "notebooks", "explore.ipynb"))
PATHS = Paths(STUDY.name)
JOBS = list(STUDY.jobs())
RETRAINED = Job("{method}", "{sparsity}", "{regime}")
QUANTIZED = Job("quantization", "{bits}", "{regime}")
COMPUTED_BY = provenance.versions(("numpy", "scikit-learn", "torch"))
ANALYSED_BY = provenance.versions(("jinja2", "matplotlib", "numpy", "pandas", "scipy", "tabulate"))
ARITHMETIC = ("seed", "replicates", "threads", "arithmetic", "device", "network")


FIGURE_FILES = [PATHS.figure(name, kind) for name in figure_names(STUDY) for kind in FORMATS]
TABLE_FILES = [PATHS.table(name) for name in TABLES]


def one_of(words):
    """A wildcard constraint that matches these words and no others."""
    return "|".join(sorted(words)) or "(?!)"


wildcard_constraints:
    method=one_of(STUDY.methods),
    sparsity=r"0\.\d+|\d(\.\d+)?e-\d+",
    bits=r"\d+",
    regime=one_of({job.regime for job in JOBS}),
    level=one_of(LEVELS),
    removal=one_of(STUDY.removals),


FAILURES = failures.Failures()
BUSY = lock.begin(PATHS) if workflow.is_main_process else None

if workflow.is_main_process and not BUSY and not publish.intact(PATHS):
    PATHS.published.unlink(missing_ok=True)  # so that it is published again


# Only in a real run, before its first job.
onstart:
    if BUSY:
        raise WorkflowError(str(BUSY))
    logger.addHandler(FAILURES)
    if workflow.local_exec:
        # This limit is for clusters. While jobs are left, it makes Snakemake look at all of them
        # again once a second for every job that has ended, which takes a third of a core.
        workflow.scheduler.job_rate_limiter = None
        socket = lock.RECORDS / f"minified-{STUDY.name}.socket"
        server.start(socket, STUDY.threads, STUDY.arithmetic)


onerror:
    if FAILURES.logs:
        print(FAILURES.summary(), file=sys.stderr)


def source_files(stage):
    """The source files that affect what `minified STAGE` writes."""
    return sorted({*sources.closure(STAGES[stage].module), *BEFORE_ALL})


BEFORE_ALL = sources.closure("minified.foundations.arithmetic")


def figure_files(name):
    """The source files that affect one figure."""
    return sorted({*source_files("figures"), *sources.closure(f"minified.analysis.figures.{name}")})


def criterion_file(name):
    """The source files of one criterion, including those that it imports."""
    return list(sources.of_file(STUDY.registry[name].file))


def method_files(wildcards):
    """The source files of the criterion that a job's method names."""
    return criterion_file(wildcards.method.partition("-")[2])


def removal_files(wildcards):
    """The source files of a criterion that has its own way of removing single units."""
    return [] if wildcards.removal in LEVELS else criterion_file(wildcards.removal)


def shared_derivatives(wildcards):
    """The derivatives that criteria of the OBD family need, computed once for all of them."""
    level, _, criterion = wildcards.method.partition("-")
    needed = STUDY.registry[criterion].derivatives
    return {"derivatives": PATHS.derivatives(level)} if needed else {}


def shared_scratch(wildcards):
    """The networks shared by all methods that leave the same widths."""
    shared = STUDY.shares_scratch(wildcards.method, wildcards.regime)
    return {"scratch": PATHS.scratch(wildcards.regime, wildcards.sparsity)} if shared else {}


def kept_networks(job):
    """A job's trained networks, if the study keeps them."""
    return {"networks": PATHS.networks(job)} if STUDY.keep_networks else {}
