# A server of memvit. For the CPU by default; for NVIDIA GPUs: docker build --build-arg TORCH=cu126 .
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
# The wheels of PyTorch at https://download.pytorch.org/whl/: cpu, or a version of CUDA such as cu126.
ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/memvit
RUN /opt/memvit/bin/pip install --index-url "https://download.pytorch.org/whl/${TORCH}" torch torchvision
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE ./
COPY memvit memvit
COPY pipelines pipelines
RUN /opt/memvit/bin/pip install ".[serve,mqtt]"

FROM python:${PYTHON}
# The user that runs the server; that of the folder with the configuration, so that zones can be saved there.
ARG UID=1000
RUN useradd --uid "${UID}" --create-home --shell /usr/sbin/nologin memvit \
    && install --directory --owner=memvit --group=memvit --mode=0700 \
        /data /data/history /data/models /data/recordings /data/state /config
COPY --from=build /opt/memvit /opt/memvit
ENV PATH=/opt/memvit/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    TORCH_HOME=/data/models MPLCONFIGDIR=/tmp/matplotlib
USER memvit
WORKDIR /home/memvit
VOLUME ["/data/history", "/data/models", "/data/recordings", "/data/state"]
EXPOSE 8000
# At the first start, the weights of the model and of the detector of people are fetched to /data/models.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10m --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
# The server saves its streams when it is asked to stop.
STOPSIGNAL SIGTERM
ENTRYPOINT ["memvit"]
# Any address but this machine's own needs the variable MEMVIT_TOKEN.
CMD ["serve", "--config", "/config/server.yaml", "--host", "0.0.0.0", "--port", "8000", \
    "--history", "/data/history", "--record", "/data/recordings", "--state", "/data/state"]
