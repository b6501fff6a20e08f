# bkgflow as an image: the command line, the scheduler and the workers are one and the same.
#
#   docker build -t bkgflow .
#   docker run --rm --read-only --tmpfs /tmp -v "$PWD:/data" bkgflow bkgflow run program --output products
#
# An index of one's own: --secret id=pip,src=/etc/pip.conf, and --secret id=certificates,src=FILE for
# its certificates. Why it is built like this: docs/decisions/0030-image.md.

FROM debian:bookworm-slim AS python

# The processor that kernels are compiled for, here and where the image runs: any since 2015. With
# features named, even as none, numba asks the machine for nothing. On ARM: generic.
ARG CPU_NAME=x86-64-v3
ARG CPU_FEATURES=""
ENV NUMBA_CPU_NAME=$CPU_NAME \
    NUMBA_CPU_FEATURES=$CPU_FEATURES \
    PATH=/opt/bkgflow/bin:$PATH

# Debian's corrections are wanted as they come: its packages have no version here.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log


FROM python AS build

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# What changes seldom comes first: the packages are not installed again for every change of a line.
COPY pyproject.toml constraints.txt deploy/image/requirements.py ./
ARG EXTRAS="plot s3 crds metrics postgres sources"
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=certificates,target=/etc/ssl/certs/ca-certificates.crt \
    /usr/bin/python3 -m venv --without-pip /opt/bkgflow \
    && /usr/bin/python3 requirements.py $EXTRAS > requirements.txt \
    && /usr/bin/python3 -m pip --python /opt/bkgflow/bin/python install --no-compile \
        --constraint constraints.txt --requirement requirements.txt
COPY README.md LICENSE ./
COPY bkgflow bkgflow
COPY deploy/image/slim.sh ./
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=certificates,target=/etc/ssl/certs/ca-certificates.crt \
    PIP_CONSTRAINT=/source/constraints.txt \
    /usr/bin/python3 -m pip --python /opt/bkgflow/bin/python install --no-compile --no-deps . \
    && sh slim.sh /opt/bkgflow
COPY deploy/image/start.sh deploy/image/healthcheck.py /opt/bkgflow/image/
# After all that makes the image small: whatever is missing now is seen while it is built.
RUN bkgflow warm-up && bkgflow --version


FROM python

LABEL org.opencontainers.image.title="bkgflow" \
      org.opencontainers.image.description="Background subtraction for whole JWST programs" \
      org.opencontainers.image.licenses="BSD-3-Clause"

RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin bkgflow \
    && install --directory --owner=10001 --group=10001 /data
COPY --from=build /opt/bkgflow /opt/bkgflow

# The root may be read-only: all scratch lies in /tmp. Each of these may be set otherwise. A user
# without an entry in /etc/passwd has a name as well.
ENV HOME=/tmp \
    LOGNAME=bkgflow \
    MPLCONFIGDIR=/tmp/matplotlib \
    DASK_TEMPORARY_DIRECTORY=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /data
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
    CMD ["python", "/opt/bkgflow/image/healthcheck.py"]
ENTRYPOINT ["/opt/bkgflow/image/start.sh"]
CMD ["bkgflow", "--help"]
