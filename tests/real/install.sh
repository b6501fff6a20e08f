#!/usr/bin/env bash
# Installs the servers that the tests of tests/real and tests/places run, from Debian: Ceph's RADOS
# gateway, and SLURM. Needs root, and a Debian or Ubuntu; elsewhere those tests are skipped, and
# say why.
set -euo pipefail

wanted=()
if ! command -v ceph-mon ceph-osd radosgw radosgw-admin >/dev/null; then
  wanted+=(ceph-mon ceph-osd radosgw ceph-common uuid-runtime)
fi
if ! command -v slurmctld slurmd sbatch munged >/dev/null; then
  wanted+=(slurmctld slurmd slurm-client munge)
fi
if [ "${#wanted[@]}" = 0 ]; then
  exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "Not installed: ${wanted[*]}: that takes apt-get and root; tests that need it are skipped" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${wanted[@]}"
