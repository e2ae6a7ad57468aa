# The gateway on a slim Debian: docker build -f deploy/docker/gateway.Dockerfile -t trivet .
#   ENGINE=cpu   with vLLM for CPUs: gateway and engine in one container (default)
#   ENGINE=none  without an engine: the commands that call a server (ask, index, rollout, eval, ...)
# For GPUs: engine.Dockerfile.
FROM python:3.11-slim-bookworm AS build
ARG ENGINE=cpu
RUN python -m venv /opt/trivet && /opt/trivet/bin/pip install --no-cache-dir uv==0.13.9
ENV PATH=/opt/trivet/bin:$PATH VIRTUAL_ENV=/opt/trivet UV_NO_CACHE=1 UV_HTTP_TIMEOUT=300
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY clients/python clients/python
COPY server server
COPY deploy/overrides-cpu.txt deploy/
RUN uv build --wheel --out-dir dist clients/python && uv build --wheel --out-dir dist .
RUN case "$ENGINE" in \
        cpu) extra='[cpu,s3,http]' ;; \
        none) extra= ;; \
        *) echo "ENGINE is '$ENGINE', expected cpu or none" >&2; exit 1 ;; \
    esac \
    && uv pip install --torch-backend cpu --find-links dist --override deploy/overrides-cpu.txt "trivet$extra" \
    && uv pip uninstall uv
# The root file system is read-only later, and each start would compile these again. Some packages ship templates that are
# no Python.
RUN python -m compileall -q -j 0 /opt/trivet/lib >/dev/null || true

FROM python:3.11-slim-bookworm
# vLLM's library for CPUs links libnuma; OpenMP is in torch's own wheel.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libnuma1=2.0.* \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 trivet \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/trivet --no-create-home --shell /usr/sbin/nologin trivet \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/trivet \
    && install -d /etc/trivet
COPY --from=build /opt/trivet /opt/trivet
ENV PATH=/opt/trivet/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /etc/trivet
VOLUME /var/lib/trivet
EXPOSE 7600 7601 7602 7603
STOPSIGNAL SIGTERM
ENTRYPOINT ["trivet"]
CMD ["serve", "--config", "/etc/trivet/trivet.yaml", "--data-dir", "/var/lib/trivet"]
