#!/usr/bin/env bash
# Builds the image where there is neither a Docker engine nor a registry of images: the base by
# debootstrap, the rest by buildah. Needs root on a Debian, and what tests/real/install.sh installs.
#
#   deploy/image/build.sh [TAG] [BUILDAH-OPTION …]
set -euo pipefail
cd "$(dirname "$0")/../.."

tag=${1:-bkgflow}
shift || true
base=debian:bookworm-slim
export STORAGE_DRIVER=${STORAGE_DRIVER:-overlay}

say() { echo "$(date +%T) $*" >&2; }

# Debian's own image of this name is made in the same way: the least that is a Debian, without
# documents and translations.
if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
  say "Making $base by debootstrap"
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  debootstrap --variant=minbase bookworm "$root" >"$root.log" 2>&1 || { cat "$root.log"; exit 1; }
  rm -rf "$root.log" "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* \
    "$root"/usr/share/{doc,info,locale,man,lintian}/*
  printf 'path-exclude=/usr/share/%s/*\n' doc info locale man lintian \
    >"$root/etc/dpkg/dpkg.cfg.d/docker"
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$root" / >/dev/null
  buildah config --cmd bash "$container"
  buildah commit --quiet --rm "$container" "$base" >/dev/null
fi

# This machine's own settings of pip, if it has any, for the time of the build alone.
secrets=()
[ -e /etc/pip.conf ] && secrets+=(--secret id=pip,src=/etc/pip.conf)
[ -e /etc/ssl/certs/ca-certificates.crt ] &&
  secrets+=(--secret id=certificates,src=/etc/ssl/certs/ca-certificates.crt)

say "Building $tag"
# Only Docker's format has a health check.
buildah bud --format docker --isolation chroot --pull-never "${secrets[@]}" "$@" --tag "$tag" .
say "Built $tag: $(buildah images --format '{{.Size}}' "$tag")"
