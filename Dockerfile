# Two stages: the first installs, the second holds what runs, without pip's caches or build tools.
# Every RUN works in any folder: tests/e2e/test_dockerfile.py runs them in a clean one.
FROM python:3.12-slim AS build
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY clients clients
COPY loaders loaders
COPY schema schema
COPY gateway gateway
COPY demo demo
RUN python -m venv .venv
RUN .venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check -c constraints.txt -e '.[jwt,redis,tracing]'
# Where the root file system is read-only, nothing can be compiled later: each start would do it again.
RUN .venv/bin/python -m compileall -q clients loaders schema gateway demo

FROM python:3.12-slim
RUN groupadd --system --gid 10001 breakwater && useradd --system --uid 10001 --gid 10001 --no-create-home breakwater
WORKDIR /app
COPY --from=build /app /app
# By number: orchestrators that refuse root look at it, and cannot look names up.
USER 10001:10001
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 4000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:4000/health/live', timeout=2)"]
ENTRYPOINT ["gateway"]
CMD ["serve", "--config", "/etc/breakwater/gateway.yaml", "--host", "0.0.0.0", "--port", "4000"]
