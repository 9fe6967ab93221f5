# Two images of the project (docs/containers.md):
#   docker build --target screen -t sfqa-screen .    rating screen and statistics, without PyTorch
#   docker build -t sfqa .                           everything
FROM python:3.11-slim-trixie AS screen

ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /opt/sfqa
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY resources resources
COPY workflow workflow
RUN pip install . && useradd --create-home --uid 1000 sfqa
USER 1000
# Studies, configurations and results are mounted here.
WORKDIR /data
EXPOSE 8765
CMD ["sfqa", "--help"]

FROM screen AS workflow

# Empty for PyTorch with CUDA; https://download.pytorch.org/whl/cpu for PyTorch without it.
ARG TORCH_INDEX=""
USER 0
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Debian 13 has FFmpeg 7.1 with x264; git fetches generators and models.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends ffmpeg git procps && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /opt/sfqa
COPY requirements.txt Snakefile run.sh ./
COPY profiles profiles
RUN if [ -n "$TORCH_INDEX" ]; then \
        grep -E '^torch(vision)?==' requirements.txt | xargs pip install --no-deps --index-url "$TORCH_INDEX"; \
    fi && \
    pip install -r requirements.txt
USER 1000
WORKDIR /data
CMD ["snakemake", "--snakefile", "/opt/sfqa/Snakefile", "--help"]
