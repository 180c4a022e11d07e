# The study, where its files are, and what each job reads and depends on, all from the library.
import functools
import json
import os
import time
from pathlib import Path

from minified.analysis import publish
from minified.analysis.catalogue import WRITTEN_TABLES, figure_names
from minified.cli import server
from minified.criteria.record import LEVELS
from minified.foundations import arithmetic
from minified.run import clock, costs, device, failures, leftovers, lock, opening, packages
from minified.run import progress, sources, stale, submissions, tasks
from minified.run.stages import STAGES
from minified.study.methods import Job
from minified.study.paths import BLOCKS, SPECIFICATIONS, Paths
from minified.study.specifications import BASE

# Every setting that a job uses is among its `params`, so the study's file itself is not an input:
# an edit makes stale the jobs whose settings it changes, and nothing else.
STUDY = opening.study(config)
STUDY_FILE = opening.for_shell(os.path.relpath(STUDY.file))
# The only path whose braces Snakemake lets one escape.
ENVIRONMENT = os.path.join(workflow.basedir, "environment.yml")
ENVIRONMENT = ENVIRONMENT.replace("{", "{{").replace("}", "}}")
NOTEBOOK = sources.relative(os.path.join(workflow.basedir, "notebooks", "explore.ipynb"))
opening.refuse_cores(workflow.resource_settings.cores)
opening.refuse_braces(study=STUDY_FILE, notebook=NOTEBOOK)
opening.name_user()
PATHS = Paths(STUDY.name)
# The files of any specification, and of any block of replicates, as the rules name them.
SHARED = Paths(STUDY.name, places=lambda place: "{where}" + str(place))
PLACES = Paths(STUDY.name, places=lambda place: "{where}{block}" + str(place))
JOBS = list(STUDY.jobs())
RETRAINED = Job("{method}", "{sparsity}", "{regime}")
QUANTIZED = Job("quantization", "{bits}", "{regime}")


@functools.cache
def known(stage, options):
    return tasks.task(STUDY, PATHS, stage, **dict(options))


def task(stage, wildcards=None, **options):
    """A job of the study, by its stage and its wildcards."""
    options |= dict(wildcards or {})
    for wildcard, option in (("where", "specification"), ("block", "block")):
        if folder := options.pop(wildcard, ""):
            options[option] = Path(folder).name
    return known(stage, tuple(options.items()))


def of_whom(wildcards):
    """The options that say of which specification a verb does the job, and of which block."""
    specification = Path(wildcards.where).name if wildcards.where else BASE
    return ["--specification", specification, *block_of(wildcards)]


def block_of(wildcards):
    """The options that say of which block a verb does the job; none for all replicates."""
    return ["--block", Path(folder).name] if (folder := wildcards.get("block")) else []


FIGURE_FILES = task("publish").inputs["figures"]
TABLE_FILES = task("publish").inputs["tables"]
opening.refuse_obstacles(
    [*FIGURE_FILES, *TABLE_FILES, *(PATHS.rows(job) for job in JOBS), PATHS.log("figures/NAME")]
)


def one_of(words):
    """A wildcard constraint that matches these words and no others."""
    return "|".join(sorted(words)) or "(?!)"


wildcard_constraints:
    where=(rf"(?:{SPECIFICATIONS}/(?:{one_of(STUDY.specified)})/)?" if STUDY.specified else "(?:)"),
    block=(rf"(?:{BLOCKS}/(?:{one_of(STUDY.blocks)})/)?" if STUDY.blocks else "(?:)"),
    method=one_of(STUDY.methods),
    sparsity=r"0\.\d+|\d(\.\d+)?e-\d+",
    bits=r"\d+",
    regime=one_of({job.regime for job in JOBS}),
    level=one_of(LEVELS),
    removal=one_of(STUDY.removals),


STARTED = time.time()
FAILURES = failures.Failures()
PROGRESS = []
STALE = stale.Stale(STUDY, PATHS)

if workflow.is_main_process:
    lock.follow()
elif workflow.remote_exec and workflow.local_exec:
    # On a cluster's node. Its jobs end with this process, and not with the one that sent them.
    server.on_node(STUDY.threads, STUDY.arithmetic, STUDY_FILE)


# Only in a real run, before its first job.
onstart:
    with opening.in_one_line():
        lock.begin(STUDY, PATHS)
        leftovers.remember(
            lock.place(STUDY.name),
            [workflow.snakemake_tmp_dir, workflow.sourcecache.runtime_cache_path],
        )
    logger.addHandler(FAILURES)
    NEEDED = [log for job in workflow.dag.needrun_jobs() for log in job.log]
    WIDTH = workflow.cores if workflow.local_exec else workflow.nodes
    PROGRESS.append(progress.follow(STUDY, PATHS, NEEDED, WIDTH))
    logger.addHandler(PROGRESS[0])
    if workflow.local_exec and not workflow.touch:
        # Elsewhere each job's own node decides.
        if MISSING := device.missing(
            STUDY, {job.rule.name for job in workflow.dag.needrun_jobs()}
        ):
            opening.stop(MISSING)
        if UNPINNED := arithmetic.unpinned():
            print(f"minified: warning: {UNPINNED}", file=sys.stderr)
    if workflow.local_exec:
        # This limit is for clusters. While jobs are left, it makes Snakemake look at all of them
        # again once a second for every job that has ended, which takes a third of a core.
        workflow.scheduler.job_rate_limiter = None
        socket = lock.place(STUDY.name).with_suffix(".socket")
        server.start(socket, STUDY.threads, STUDY.arithmetic, STUDY_FILE)
    else:
        server.without("they are done on other machines")


onsuccess:
    for FOLLOWED in PROGRESS:
        FOLLOWED.end()
    opening.share()
    if OTHERS := publish.others(PATHS):
        names = ", ".join(map(str, OTHERS))
        print(
            f"minified: left alone, since this study did not publish it: {names}",
            file=sys.stderr,
        )
    for CHANGE in publish.changes(PATHS, STARTED):
        print(CHANGE, file=sys.stderr)
    if cold := clock.cold_jobs(PATHS.logs, STARTED):
        print(cold, file=sys.stderr)


onerror:
    for FOLLOWED in PROGRESS:
        FOLLOWED.end()
    opening.share()
    if cold := clock.cold_jobs(PATHS.logs, STARTED):
        print(cold, file=sys.stderr)
    if FAILURES.logs:
        print(FAILURES.summary(), file=sys.stderr)


def read_by(stage, **options):
    """The files that a stage reads.

    The source files behind it are none of them: there are sixty a job, and Snakemake would look at
    each several times. An edit of one is noticed by the records of the jobs alone (STALE).
    """

    def inputs(wildcards):
        job = task(stage, wildcards, **options)
        if workflow.is_main_process:
            opening.spare(workflow.persistence)
            # Whatever Snakemake's own records say of them. Unlike --forcerun, this adds no job.
            workflow.dag.forcefiles.update(STALE.files(job))
        return dict(job.inputs)

    return inputs


def settings_of(stage, **options):
    """The settings that a stage uses, as one text: an edit of one of them makes it stale."""
    return lambda wildcards: json.dumps(task(stage, wildcards, **options).settings, sort_keys=True)


def software_of(stage):
    """The versions of the packages that shape what a stage writes."""
    return json.dumps(packages.versions(stage), sort_keys=True)


def asked(stage, **options):
    """What a job asks a cluster's scheduler for, more of it at each attempt: `mem_mb`, `runtime` in
    minutes, and a `gpu` if the study has one.
    """

    def ask(resource):
        return lambda wildcards, attempt: getattr(
            costs.asked(STUDY, task(stage, wildcards, **options), attempt), resource
        )

    names = ["mem_mb", "runtime"]
    if STUDY.device == "cuda" and STAGES[stage].on_device:
        names.append("gpu")
    return {name: ask(name) for name in names}


@functools.cache
def submissions_of_the_study():
    found = submissions.submissions(STUDY, PATHS)
    # However they hang together. (A profile's `group-components` does not reach the nodes.)
    workflow.group_settings.group_components = dict.fromkeys(found.values(), len(found))
    return found


def submission_of(stage, **options):
    """With which jobs a job travels to a cluster; on this machine each is done alone."""

    def submission(wildcards):
        if workflow.local_exec:
            return None
        return submissions_of_the_study()[task(stage, wildcards, **options).name]

    return submission


def kept_networks(job):
    """A job's trained networks, if the study keeps them."""
    return {"networks": PLACES.networks(job)} if STUDY.keep_networks else {}
