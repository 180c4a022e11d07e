#!/bin/sh
# What became of a job, in the words that Snakemake's cluster-generic plugin reads: success, failed
# or running. On a scheduler other than Slurm, its own query goes in the place of squeue.
state=$(squeue --noheader --states=all --format=%T --job "$1" 2>&1) || {
    case $state in
        *"Invalid job id"*) echo failed ;; # ended so long ago that it is forgotten
        *) echo running ;; # the controller does not answer just now
    esac
    exit 0
}
case $state in
    COMPLETED) echo success ;;
    PENDING | CONFIGURING | RUNNING | COMPLETING | SUSPENDED | REQUEUED | RESIZING) echo running ;;
    *) echo failed ;;
esac
