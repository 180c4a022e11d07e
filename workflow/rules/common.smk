# The study, where its files are, and what each job reads and depends on, all from the library.
import functools
import json
import os
import sys
import time
from pathlib import Path

from minified.analysis import publish
from minified.analysis.catalogue import WRITTEN_TABLES, figure_names
from minified.cli import server
from minified.criteria.record import LEVELS
from minified.foundations import arithmetic
from minified.run import clock, clusters, costs, device, failures, late, leftovers
from minified.run import lock, opening, packages, probe, progress
from minified.run import sources, stale, submissions, tasks
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
opening.name_project(workflow.basedir)
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
    late.expect()
    # One job alone imports its libraries as fast by itself.
    if clusters.jobs_of(sys.argv) > 1:
        server.on_node(STUDY.threads, STUDY.arithmetic, STUDY_FILE)


# Only in a real run, before its first job.
onstart:
    with opening.in_one_line():
        lock.begin(STUDY, PATHS)
        NOTE = lock.place(STUDY.name).with_suffix(".submitted")
        if not workflow.local_exec:
            CORES = workflow.resource_settings.cores
            probe.refuse_threads(STUDY.threads, CORES)
            SENT = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
            ASKED = probe.together([(job.group, job.resources) for job in SENT], CORES or 1)
            EXECUTOR, SETTINGS = workflow.executor_plugin.name, workflow.executor_settings
            probe.probe(EXECUTOR, SETTINGS, ASKED)
        clusters.release(NOTE)
        if not workflow.local_exec and SENT:
            clusters.note(EXECUTOR, workflow.scheduler.get_executor(SENT[0]), SETTINGS, NOTE)
        leftovers.remember(
            lock.place(STUDY.name),
            [workflow.snakemake_tmp_dir, workflow.sourcecache.runtime_cache_path],
        )
    logger.addHandler(FAILURES)
    NEEDED = [log for job in workflow.dag.needrun_jobs() for log in job.log]
    # On a shared file system a look costs more.
    OFTEN = 1 if workflow.local_exec else 5
    PROGRESS.append(
        progress.follow(STUDY, PATHS, NEEDED, side_by_side(), logger.handlers, OFTEN)
    )
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
    else:
        late.expect(workflow.execution_settings.latency_wait)
        arithmetic.expect()
    # On a cluster, for the light jobs, which stay here; a node has one of its own.
    socket = lock.place(STUDY.name).with_suffix(".socket")
    server.start(socket, STUDY.threads, STUDY.arithmetic, STUDY_FILE)


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
            clusters.believe(workflow.persistence, finished)
            # Whatever Snakemake's own records say of them. Unlike --forcerun, this adds no job.
            workflow.dag.forcefiles.update(STALE.files(job))
        return dict(job.inputs)

    return inputs


def finished(file):
    """Whether a file is whole and as today's study wants it, by the record of its job."""
    job = tasks.producer(STUDY, PATHS, Path(file))
    return job is not None and not STALE.files(job)


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

    given = {name: ask(name) for name in ("mem_mb", "runtime")}
    if STUDY.device == "cuda" and STAGES[stage].on_device:
        return given | {"gpu": ask("gpu")}
    # Else the model in a profile would bring a GPU with it.
    return given | {"gpu_model": ""}


@functools.cache
def submissions_of_the_study():
    found = submissions.submissions(STUDY, PATHS)
    # However they hang together. (A profile's `group-components` does not reach the nodes.)
    workflow.group_settings.group_components = dict.fromkeys(found.values(), len(found))
    return found


def side_by_side():
    """How many jobs are expected to run at once."""
    if workflow.local_exec:
        return workflow.cores
    # On a cluster the submissions of one wave, each with so many cores.
    cores = workflow.resource_settings.cores or 1
    return cores * max(1, len(set(submissions_of_the_study().values())) // 3)


def submission_of(stage, **options):
    """With which jobs a job travels to a cluster; None if it stays on this machine."""

    def submission(wildcards):
        if workflow.local_exec:
            return None
        return submissions_of_the_study().get(task(stage, wildcards, **options).name)

    return submission


def kept_networks(job):
    """A job's trained networks, if the study keeps them."""
    return {"networks": PLACES.networks(job)} if STUDY.keep_networks else {}
