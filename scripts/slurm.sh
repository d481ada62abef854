#!/usr/bin/env bash
# Runs the Slurm recipes of docs/scale.md and scripts/deploy/slurm on a cluster of this machine alone: Debian's munged, slurmctld and slurmd,
# with keys, ports and state of their own in a temporary folder, ended at the end. Must be root, as slurmd must.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
	echo "slurm.sh: must be root: slurmd starts jobs" >&2
	exit 1
fi
# Debian's mpi_pmix looks for libpmix.so, which libpmix-dev has.
packages="slurmctld slurmd slurm-client munge openmpi-bin libmpich12 libpmix-dev"
if ! dpkg -s $packages >/dev/null 2>&1; then
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi
dir=$(mktemp -d /tmp/goprm-slurm.XXXXXX)
chmod 755 "$dir"
stop() {
	scancel --user=root --quiet 2>/dev/null || true
	for name in slurmd slurmctld munged; do
		[ ! -s "$dir/$name.pid" ] || kill "$(cat "$dir/$name.pid")" 2>/dev/null || true
	done
	for _ in $(seq 50); do
		pids=$(cat "$dir"/*.pid 2>/dev/null || true)
		[ -z "$pids" ] || ! kill -0 $pids 2>/dev/null && break
		sleep 0.1
	done
	rm -rf "$dir"
}
trap stop EXIT
mkdir -p "$dir/munge" "$dir/state" "$dir/spool"
chmod 700 "$dir/munge"
(umask 077; head -c 1024 /dev/urandom >"$dir/munge/key")
mkdir -m 755 "$dir/socket"
munged --force --num-threads=2 --socket="$dir/socket/munge" --key-file="$dir/munge/key" --pid-file="$dir/munged.pid" \
	--log-file="$dir/munge/log" --seed-file="$dir/munge/seed" 2>/dev/null
host=$(hostname -s) # it is told to have eight processors, so that eight tasks run at once
port=$((20000 + RANDOM % 20000))
cat >"$dir/slurm.conf" <<CONF
ClusterName=goprm
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
AuthInfo=socket=$dir/socket/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MinJobAge=3600
KillWait=5
PlugStackConfig=$dir/plugstack.conf
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 Boards=1 SocketsPerBoard=8 CoresPerSocket=1 ThreadsPerCore=1 RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
CONF
: >"$dir/plugstack.conf"
export SLURM_CONF=$dir/slurm.conf
slurmctld -c
slurmd
for _ in $(seq 100); do
	[ "$(sinfo -h -o %T 2>/dev/null)" = idle ] && break
	sleep 0.2
done
if [ "$(sinfo -h -o %T)" != idle ]; then
	tail -20 "$dir/slurmctld.log" "$dir/slurmd.log" >&2
	exit 1
fi
if [ "$#" -gt 0 ]; then # a command instead of the tests
	"$@"
	exit
fi
slurmctld -V
GOPRM_SLURM=1 go test -count=1 -timeout 10m -v -run TestSlurm ./cmd/prm
