# Tellegen on Debian 13 with Debian's own ngspice.
#
#   docker build -t tellegen .
#   docker run --rm -v "$PWD/runs:/runs" tellegen run /opt/tellegen/experiments/xor.yaml
#
# Mount a folder at /runs that user 1000 may write to, or add --user "$(id -u)".

FROM debian:13-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv
WORKDIR /src
# The dependencies first, so that a change of the source does not install them again.
COPY pyproject.toml README.md LICENSE ./
RUN mkdir -p bridge circuits \
    && touch bridge/__init__.py circuits/__init__.py \
    && /opt/venv/bin/pip install --no-cache-dir .
COPY bridge bridge
COPY circuits circuits
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --force-reinstall . \
    && find /opt/venv -type d -name tests -prune -exec rm -rf {} + \
    && /opt/venv/bin/pip uninstall -y pip

FROM debian:13-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 libngspice0 ngspice \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 tellegen \
    && mkdir /runs \
    && chown tellegen:tellegen /runs
COPY --from=build /opt/venv /opt/venv
COPY experiments /opt/tellegen/experiments
ENV PATH=/opt/venv/bin:$PATH \
    MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba \
    XDG_CACHE_HOME=/tmp/cache
USER tellegen
WORKDIR /runs
HEALTHCHECK --interval=1m --timeout=30s CMD ["tellegen", "doctor"]
ENTRYPOINT ["tellegen"]
CMD ["--help"]
