#!/usr/bin/env bash
# A real Slurm of one node for tests: controller and node daemon on loopback, all files in one folder.
#
#   slurm.sh start FOLDER [PORT]     then: . FOLDER/env.sh
#   slurm.sh restart FOLDER          the controller alone, as an administrator does
#   slurm.sh stop FOLDER
#
# Needs Debian's packages slurmctld, slurmd and slurm-client, no root, no systemd, nothing in /etc.
# Anyone on the machine can act as anyone in it (auth/none): for tests alone.
set -euo pipefail
command=$1
folder=$(readlink -m "$2")
port=${3:-17017}
export PATH=$PATH:/usr/sbin

configure() {
    mkdir -p "$folder"/{state,spool,log,run,bin}
    local cpus memory
    # More than there are, so that submissions which only wait do not keep others from running.
    cpus=$(($(nproc) > 12 ? $(nproc) : 12))
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    cat > "$folder/slurm.conf" <<CONF
ClusterName=tests
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/none
CredType=cred/none
SlurmctldPort=$port
SlurmdPort=$((port + 1))
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# A job over its memory is killed, without cgroups: the daemon looks every second.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
ReturnToService=2
MinJobAge=600
KillWait=2
SlurmdParameters=config_overrides
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$(hostname -s) Default=YES MaxTime=INFINITE State=UP
CONF
    # Inside a job the plugin removes SLURM_CONF, with which alone this cluster is found.
    printf '#!/bin/sh\nSLURM_CONF=%q exec /usr/bin/srun "$@"\n' "$folder/slurm.conf" > "$folder/bin/srun"
    chmod +x "$folder/bin/srun"
    printf 'export SLURM_CONF=%q PATH=%q:$PATH:/usr/sbin\n' "$folder/slurm.conf" "$folder/bin" \
        > "$folder/env.sh"
}

await_idle() {
    for _ in $(seq 300); do
        case $(sinfo --noheader --format %t 2> /dev/null) in idle | mix | alloc) return ;; esac
        sleep 0.1
    done
    echo "slurm.sh: no idle node after 30 s; see $folder/log" >&2
    return 1
}

end() {
    local file=$folder/run/$1.pid pid
    [ -s "$file" ] || return 0
    pid=$(cat "$file")
    kill "$pid" 2> /dev/null || return 0
    for _ in $(seq 200); do
        kill -0 "$pid" 2> /dev/null || return 0
        sleep 0.05
    done
    kill -9 "$pid" 2> /dev/null || true
}

case $command in
    start)
        configure
        . "$folder/env.sh"
        slurmctld -i
        slurmd
        await_idle
        ;;
    restart)
        . "$folder/env.sh"
        end slurmctld
        slurmctld
        await_idle
        ;;
    stop)
        end slurmd
        end slurmctld
        ;;
    *)
        echo "slurm.sh: start, restart or stop" >&2
        exit 2
        ;;
esac
