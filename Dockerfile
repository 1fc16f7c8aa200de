# The gateway, one worker a container. It needs a Redis (GATEWAY_REDIS_URL); alone it brings its own.
#
# With an application:
#     FROM starlette-gateway
#     COPY chat.py .
#     ENV GATEWAY_APP=chat:gateway
# `docker stop` and `docker run` wait ten seconds before they kill, so by itself the image drains in
# six. A drain that spreads many clients takes longer, and the engine must be told to wait:
#     docker run --stop-timeout 50 --env GATEWAY_DRAIN_SECONDS=30 ...
# What it needs beside: `USER root`, `RUN pip install ...`, `USER 10001` before the COPY.

FROM python:3.13-slim AS build
# Init: as process 1, serve would also have to reap what an application leaves behind.
RUN apt-get update && apt-get install --yes --no-install-recommends tini
RUN python -m venv /opt/gateway && python -m venv /opt/build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY scripts/install-locked scripts/
COPY requirements.lock requirements-build.lock ./
RUN scripts/install-locked /opt/gateway requirements.lock && scripts/install-locked /opt/build requirements-build.lock
COPY . .
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/gateway/bin/pip install --no-deps /wheels/*.whl

FROM python:3.13-slim
COPY --from=build /usr/bin/tini /usr/bin/
COPY --from=build /opt/gateway /opt/gateway
COPY deploy/image/gateway-probe /usr/local/bin/
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_DRAIN_SECONDS=6
WORKDIR /app
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Alive, not ready: some orchestrators kill what is unhealthy, and while Redis is away or a worker
# drains it is not ready, but holds sockets that must stay.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["gateway-probe", "/livez"]
ENTRYPOINT ["tini", "--"]
CMD ["gateway", "serve"]
