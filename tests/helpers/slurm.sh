#!/usr/bin/env bash
# A real SLURM of this machine alone: its daemons on loopback, without systemd and without root's
# files being touched. slurm.sh start FOLDER CONTROLLER-PORT NODE-PORT; slurm.sh stop FOLDER.
set -euo pipefail

folder=$2
export SLURM_CONF=$folder/slurm.conf

pid_of() { [ -s "$1" ] && cat "$1"; }

stop() {
  munge=$(pid_of "$folder/munge" || true)
  for name in slurmd slurmctld munged; do
    pid=$(pid_of "$folder/$name.pid" || pid_of "$munge/$name.pid" || true)
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
  done
  case $munge in /tmp/bkgflow-munge-*) rm -rf "$munge" ;; esac
}

start() {
  mkdir -p "$folder"/{state,spool,log}
  # Munge has a user of its own, who may not look into the folders of tests.
  munge=$(mktemp -d /tmp/bkgflow-munge-XXXXXX)
  echo "$munge" >"$folder/munge"
  chmod 755 "$munge"
  chown munge "$munge"
  runuser -u munge -- dd if=/dev/urandom of="$munge/munge.key" bs=1 count=1024 status=none
  runuser -u munge -- chmod 600 "$munge/munge.key"
  runuser -u munge -- munged --key-file="$munge/munge.key" --socket="$munge/munge.sock" \
    --pid-file="$munge/munged.pid" --log-file="$munge/munged.log" --seed-file="$munge/munged.seed"
  cat >"$SLURM_CONF" <<CONF
ClusterName=bkgflow
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$munge/munge.sock
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort=$3
SlurmdPort=$4
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
KillWait=10
SlurmdParameters=config_overrides
MinJobAge=30
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000 State=UNKNOWN
PartitionName=normal Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  slurmctld -c
  slurmd
  for _ in $(seq 100); do
    if sinfo --noheader --format=%T 2>/dev/null | grep -q idle; then exit 0; fi
    sleep 0.2
  done
  echo "SLURM's node does not become idle" >&2
  tail -5 "$folder"/log/*.log >&2
  exit 1
}

case $1 in
  start) start "$@" ;;
  stop) stop ;;
  *) echo "slurm.sh start FOLDER PORT PORT, or slurm.sh stop FOLDER" >&2; exit 2 ;;
esac
