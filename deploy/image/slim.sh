#!/bin/sh
# Takes out of an environment what no run needs: slim.sh ENVIRONMENT
set -eu
cd "$1"/lib/python3*/site-packages

# Tests of other packages. Astropy imports the top of its own, astropy/tests.
find . -depth -type d -name tests ! -path ./astropy/tests -exec rm -rf {} +
# What only compilers of extensions read, and types for those who write programs.
find . -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.c' -o -name '*.cpp' \
  -o -name '*.h' -o -name '*.hpp' -o -name '*.a' \) -exec rm -f {} +
# Of Amazon's services: buckets, and how one proves who one is.
if [ -d botocore/data ]; then
  find botocore/data -mindepth 1 -maxdepth 1 -type d \
    ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -rf {} +
fi
# Example images of matplotlib.
rm -rf matplotlib/mpl-data/sample_data
# Symbols for debuggers, of the packages that bring many. Others were rewritten after they were
# linked, which not every file survives; so those here are loaded afterwards.
for package in aiohttp astropy fontTools kiwisolver llvmlite numcodecs sqlalchemy yaml; do
  [ -d "$package" ] || continue
  find "$package" -name '*.so' -type f -exec strip --strip-unneeded {} + -exec \
    "$1"/bin/python -c 'import ctypes, sys; [ctypes.PyDLL(each) for each in sys.argv[1:]]' {} +
done
# What is left is compiled on all cores, for no container could keep what it compiles. Some packages
# have files for other versions of Python among them.
"$1"/bin/python -m compileall -qq -j 0 "$PWD" || true
