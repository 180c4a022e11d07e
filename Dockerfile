# An image that runs studies; docs/clusters.md has the commands.
#
#   docker build --tag minified .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/study" \
#       --volume "$PWD/data:/data:ro" minified --cores 4 --config study=/minified/config/mnist.yaml
#
# A run works in /study: results, figures and Snakemake's records are there. It writes nowhere else
# but to /tmp; the raw data in /data are only read. A study of one's own lies in /study, too.
#
# The base is pinned by its tag. To pin it to the byte, look up its digest and build with it:
#
#   docker buildx imagetools inspect python:3.11-slim-bookworm
#   docker build --build-arg BASE=python:3.11-slim-bookworm@sha256:DIGEST --tag minified .
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# The Makefile makes the environment. Its version decides no number, so it is Debian's newest.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /minified
ENV PATH=/minified/.venv/bin:$PATH PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1

# The packages, several GB of them, are a layer of their own: an edit of the source keeps it.
COPY requirements.lock ./
RUN python3.11 -m venv .venv \
    && .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock

# What else is copied is in .dockerignore.
COPY . ./
RUN make environment \
    && .venv/bin/python -m compileall -q src

# `--user` may name any user, who need not have a name or a home there.
RUN useradd --create-home --uid 1000 minified \
    && mkdir /data /study \
    && chmod 1777 /study
ENV HOME=/tmp MINIFIED_DATA=/data
USER 1000
RUN minified check digits
WORKDIR /study

ENTRYPOINT ["snakemake", "--snakefile", "/minified/Snakefile", "--workflow-profile", "/minified/workflow/profiles/default"]
CMD ["--cores", "all", "--config", "study=/minified/config/digits.yaml"]
