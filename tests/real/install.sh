#!/usr/bin/env bash
# Installs the servers that the tests of tests/real run: Ceph's RADOS gateway, from Debian.
# Needs root, and a Debian or Ubuntu; elsewhere those tests are skipped, and say why.
set -euo pipefail

if command -v ceph-mon ceph-osd radosgw radosgw-admin >/dev/null; then
  exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "Ceph is not installed: that takes apt-get and root; the tests that need it are skipped" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends ceph-mon ceph-osd radosgw ceph-common uuid-runtime
