# The gateway with vLLM for CUDA, on vLLM's own image: docker build -f deploy/docker/engine.Dockerfile -t trivet-gpu .
# The version of vLLM is the one of the extra `gpu` in pyproject.toml; a test holds the two together.
FROM vllm/vllm-openai:v0.32.0
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV UV_NO_CACHE=1 UV_HTTP_TIMEOUT=300
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY clients/python clients/python
COPY server server
# Into vLLM's own environment: the constraint keeps its torch and CUDA libraries as they are.
RUN uv build --wheel --out-dir dist clients/python \
    && uv build --wheel --out-dir dist . \
    && uv pip freeze --system | grep -iE '^(torch|vllm|nvidia-|triton|flashinfer)' > kept.txt \
    && uv pip install --system --constraint kept.txt --find-links dist 'trivet[gpu,s3,http]' \
    && rm -rf /src
RUN groupadd --gid 10001 trivet \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/trivet --no-create-home --shell /usr/sbin/nologin trivet \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/trivet \
    && install -d /etc/trivet
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /etc/trivet
VOLUME /var/lib/trivet
EXPOSE 7600 7601 7602 7603
STOPSIGNAL SIGTERM
ENTRYPOINT ["trivet"]
CMD ["serve", "--config", "/etc/trivet/trivet.yaml", "--data-dir", "/var/lib/trivet"]
