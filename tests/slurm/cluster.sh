#!/bin/sh
# A Slurm of one node on a Debian machine, for tests: ./cluster.sh start|stop, as root.
# Its settings lie in /etc/slurm, where jobs find them; a folder named by SLURM_CONF is unknown to them.
set -eu

CONF=/etc/slurm/slurm.conf
MARK="# Made by tests/slurm/cluster.sh"
NODE=$(hostname -s)

install_packages() {
    command -v slurmctld munged >/dev/null && return
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge
}

# Two devices stand in for GPUs: they can be asked for and are counted, though the machine may have none.
write_settings() {
    if [ -e "$CONF" ] && ! grep -qF "$MARK" "$CONF"; then
        echo "$CONF: belongs to another cluster, refusing to overwrite it" >&2
        exit 1
    fi
    memory=$(awk '/^MemTotal/ {print int(0.9 * $2 / 1024)}' /proc/meminfo)  # a node with less than it says is refused
    cat >"$CONF" <<CONF
$MARK
ClusterName=lorap
SlurmctldHost=$NODE
SlurmUser=slurm
StateSaveLocation=/var/lib/slurm/slurmctld
SlurmdSpoolDir=/var/lib/slurm/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MinJobAge=3600
SlurmdTimeout=10
ReturnToService=2
GresTypes=gpu
NodeName=$NODE CPUs=$(nproc --all) RealMemory=$memory Gres=gpu:2
PartitionName=main Nodes=$NODE Default=YES MaxTime=INFINITE
CONF
    echo "Name=gpu File=/dev/null,/dev/zero" >/etc/slurm/gres.conf
}

start_munge() {
    munge -n >/dev/null 2>&1 && return
    [ -s /etc/munge/munge.key ] || runuser -u munge -- /usr/sbin/mungekey
    install -d -o munge -g munge /run/munge
    runuser -u munge -- /usr/sbin/munged
}

start() {
    install_packages
    write_settings
    start_munge
    install -d -o slurm -g slurm /var/lib/slurm/slurmctld /var/lib/slurm/slurmd /var/log/slurm
    pid_of slurmctld >/dev/null || slurmctld
    pid_of slurmd >/dev/null || slurmd
    for _ in $(seq 30); do
        case $(sinfo --noheader --format=%t 2>/dev/null) in
        idle | mix | alloc) exec sinfo ;;
        down* | drain*) scontrol update nodename="$NODE" state=resume ;; # what an earlier run left it as
        esac
        sleep 1
    done
    echo "node $NODE does not come up, see /var/log/slurm" >&2
    exit 1
}

# The running daemon's process, by its own file and never by name alone.
pid_of() {
    pid=$(cat "/run/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] && echo "$pid"
}

stop() {
    for daemon in slurmd slurmctld; do
        if pid=$(pid_of "$daemon"); then
            kill "$pid"
            while [ -e "/proc/$pid" ]; do sleep 0.1; done
        fi
    done
}

case ${1:-} in
start) start ;;
stop) stop ;;
*)
    echo "usage: $0 start|stop" >&2
    exit 2
    ;;
esac
