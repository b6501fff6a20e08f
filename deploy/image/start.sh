#!/bin/sh
# Starts what it is given. The kernels of the image are for processors with AVX2 and FMA
# (x86-64-v3); on an older one numba compiles for that one, as it does everywhere else.
set -eu
processor=${BKGFLOW_CPUINFO:-/proc/cpuinfo}
if [ "${NUMBA_CPU_NAME:-}" = x86-64-v3 ]; then
  for flag in avx2 bmi2 fma f16c movbe; do
    if ! grep -q -m 1 -w "$flag" "$processor"; then
      echo "This processor has no $flag: kernels will be compiled for it, in each container" >&2
      unset NUMBA_CPU_NAME NUMBA_CPU_FEATURES
      break
    fi
  done
fi
exec "$@"
