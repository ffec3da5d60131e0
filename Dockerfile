# Two images from one file:
#   docker build --target cpu -t graftwork:cpu .
#   docker build --target gpu -t graftwork:gpu .
# Python packages are those of requirements/*.lock, by hash. The base image is named by a tag; a release
# pins it: --build-arg PYTHON_IMAGE=python:3.12-slim-bookworm@sha256:…  (and --sbom=true --provenance=true
# for the registry's own attestations). The root file system is read-only in use: docs/operations/image.md.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

# --- what both images have -------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS base
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="graftwork" \
      org.opencontainers.image.description="One OpenAI-compatible endpoint over one base model, hot-swappable LoRA adapters and frontier APIs." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-2.0-or-later" \
      dev.graftwork.sbom="/opt/graftwork/sbom.cdx.json" \
      dev.graftwork.notices="/opt/graftwork/NOTICE"
# vLLM's CPU kernels ask libnuma where memory is. KubeRay starts Ray with bash, which is there.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libnuma1 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 1000 graftwork \
 && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /var/cache/graftwork/home --shell /usr/sbin/nologin graftwork \
 && install --directory --owner 1000 --group 1000 /var/lib/graftwork /var/cache/graftwork
ENV PATH=/opt/graftwork/.venv/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin \
    HOME=/var/cache/graftwork/home \
    XDG_CACHE_HOME=/var/cache/graftwork/xdg \
    HF_HOME=/var/cache/graftwork/hf \
    VLLM_CACHE_ROOT=/var/cache/graftwork/vllm \
    VLLM_CONFIG_ROOT=/var/cache/graftwork/vllm-config \
    TRITON_CACHE_DIR=/var/cache/graftwork/triton \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/graftwork/inductor \
    FLASHINFER_WORKSPACE_BASE=/var/cache/graftwork/flashinfer \
    RAY_USAGE_STATS_ENABLED=0 \
    VLLM_NO_USAGE_STATS=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/graftwork

# --- the source, apart from what changes with it -----------------------------------------------------
FROM base AS source
COPY pyproject.toml README.md LICENSE ./
COPY adapters adapters
COPY router router
COPY serving serving
COPY config config
COPY scripts scripts

# --- packages: only a changed lock makes these layers anew -------------------------------------------
FROM base AS packages
ENV PYTHONDONTWRITEBYTECODE=
RUN python -m venv .venv

FROM packages AS packages-cpu
COPY requirements/torch-cpu.lock requirements/cpu.lock requirements/
# The CPU build of torch has a local version, which the index of PyPI cannot hold.
RUN .venv/bin/pip install --no-cache-dir --no-deps --require-hashes \
        --index-url https://download.pytorch.org/whl/cpu -r requirements/torch-cpu.lock \
 && .venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements/cpu.lock

FROM packages AS packages-gpu
COPY requirements/gpu.lock requirements/gpu.lock
RUN .venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements/gpu.lock

# --- the installed project: packages, source, HAProxy's place and its error pages --------------------
FROM packages-cpu AS project-cpu
COPY --from=source /opt/graftwork /opt/graftwork
RUN .venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --no-index --editable . \
 && .venv/bin/python -m compileall -q adapters router serving \
 && .venv/bin/python -m serving.bringup.image /opt/graftwork

FROM packages-gpu AS project-gpu
COPY --from=source /opt/graftwork /opt/graftwork
RUN .venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --no-index --editable . \
 && .venv/bin/python -m compileall -q adapters router serving \
 && .venv/bin/python -m serving.bringup.image /opt/graftwork

# --- the images --------------------------------------------------------------------------------------
FROM base AS cpu
COPY --from=project-cpu /opt/graftwork /opt/graftwork
RUN .venv/bin/python scripts/sbom.py --sbom sbom.cdx.json --notice NOTICE
USER 1000:1000
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python", "-m", "serving.bringup.probe", "serve"]
ENTRYPOINT ["graftwork"]
CMD ["serve", "--config", "/opt/graftwork/config/local.yaml", "--state-dir", "/var/lib/graftwork"]

FROM base AS gpu
# Triton compiles its launchers when a kernel is first used.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc g++ libc6-dev \
 && rm -rf /var/lib/apt/lists/*
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=project-gpu /opt/graftwork /opt/graftwork
RUN .venv/bin/python scripts/sbom.py --sbom sbom.cdx.json --notice NOTICE
USER 1000:1000
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=900s --retries=3 \
    CMD ["python", "-m", "serving.bringup.probe", "serve"]
ENTRYPOINT ["graftwork"]
CMD ["serve", "--config", "/opt/graftwork/config/gpu.yaml", "--state-dir", "/var/lib/graftwork"]
