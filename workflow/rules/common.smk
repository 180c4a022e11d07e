# The study, where its files lie, and what each job depends on: all of it the library's own words.
import os

from minified import provenance, running, sources, study, warm_server
from minified.analysis import (
    FIGURES,
    FORMATS,
    TABLES,
    WRITTEN_TABLES,
    figure_groups,
    figure_names,
    publish,
)
from minified.paths import Paths
from minified.study import Job, Settings

# Snakemake is told of every setting that a job uses (`params`), so the study's file itself is no
# input: an edit makes stale what it changes, and nothing else.
STUDY = study.load(config.get("study", "digits"))
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


wildcard_constraints:
    method="(parameter|neuron)-[a-z0-9_]+",
    sparsity=r"0\.\d+|\d(\.\d+)?e-\d+",
    bits=r"\d+",
    regime="none|fine_tune|scratch|rewind",
    level="parameter|neuron",
    removal="parameter|neuron|merging",


FAILURES = running.Failures()
BUSY = running.begin(PATHS) if workflow.is_main_process else None

if workflow.is_main_process and not BUSY and not publish.intact(PATHS):
    PATHS.published.unlink(missing_ok=True)  # so that it is published again


# In a real run only, before its first job.
onstart:
    if BUSY:
        raise WorkflowError(str(BUSY))
    logger.addHandler(FAILURES)
    if workflow.local_exec:
        # A limit for clusters. As long as jobs are left, it has Snakemake look at all of them again
        # once a second for every job that has ever ended, which takes a third of a core.
        workflow.scheduler.job_rate_limiter = None
        warm_server.start(STUDY.threads, STUDY.arithmetic)


onerror:
    if FAILURES.logs:
        print(FAILURES.summary(), file=sys.stderr)


def source_files(verb):
    """The source files that shape what `minified VERB` writes."""
    return sorted({*sources.closure(f"minified.{verb}"), *sources.closure("minified.arithmetic")})


def criterion_file(name):
    """The source files of one criterion, its own imports included."""
    return list(sources.of_file(STUDY.registry[name].file))


def method_files(wildcards):
    """The source files of the criterion that a job's method names."""
    return criterion_file(wildcards.method.partition("-")[2])


def shared_derivatives(wildcards):
    """What a criterion of the OBD family reads, computed once for all of them."""
    level, _, criterion = wildcards.method.partition("-")
    needed = STUDY.registry[criterion].derivatives
    return {"derivatives": PATHS.derivatives(level)} if needed else {}


def shared_scratch(wildcards):
    """The networks that all methods which leave the same widths share."""
    shared = STUDY.shares_scratch(wildcards.method, wildcards.regime)
    return {"scratch": PATHS.scratch(wildcards.sparsity)} if shared else {}


def kept_networks(job):
    """A job's trained networks, if the study keeps them."""
    return {"networks": PATHS.networks(job)} if STUDY.keep_networks else {}
