#!/usr/bin/env bash
# Installs what the tests of tests/real, tests/places and tests/deploy run, from Debian: Ceph's RADOS
# gateway, SLURM, what builds and runs the image, and docker-compose. Needs root, and a Debian or
# Ubuntu; elsewhere those tests are skipped, and say why.
set -euo pipefail

packages=()

# need "PROGRAM …" PACKAGE …: the packages, unless all the programs are there.
need() {
  local program programs=$1
  shift
  for program in $programs; do
    command -v "$program" >/dev/null || { packages+=("$@"); return; }
  done
}

need "ceph-mon ceph-osd radosgw radosgw-admin" ceph-mon ceph-osd radosgw ceph-common uuid-runtime
need "slurmctld slurmd sbatch munged" slurmctld slurmd slurm-client munge
need "buildah debootstrap podman runc" buildah debootstrap netavark podman runc
need docker-compose docker-compose

[ ${#packages[@]} = 0 ] && exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "Not installed: ${packages[*]}. That takes apt-get and root; tests that need it are skipped" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}"
