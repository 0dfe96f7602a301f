# For machines with GPUs: the set of constraints-gpu.txt, as `make setup-gpu` installs it. Not built by us yet.
#
#   docker build -t videothinker .
#   docker run --gpus all --shm-size=31g -v $PWD/models:/videothinker/models -v $PWD/data:/videothinker/data \
#       -v $PWD/runs:/videothinker/runs videothinker videothinker doctor
#
# 13.0 because torch is built for it; with its compilers because DeepSpeed compiles parts of itself.
FROM nvidia/cuda:13.0.2-devel-ubuntu24.04

RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-dev python3-venv g++ make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /videothinker
COPY . .
RUN PIP_NO_CACHE_DIR=1 make setup-gpu

ENV PATH=/videothinker/.venv/bin:$PATH
CMD ["videothinker", "doctor"]
