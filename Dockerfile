# diffsinger_jax with the voice that ships.
#
#     docker build -t diffsinger_jax .
#     docker run --rm -v "$PWD:/work" diffsinger_jax sing --score song.musicxml
#
# For NVIDIA GPUs (the CUDA libraries come with JAX; the host needs a driver and the container
# toolkit):
#
#     docker build --build-arg EXTRAS=gpu -t diffsinger_jax:gpu .
#     docker run --rm --gpus all -v "$PWD:/work" diffsinger_jax:gpu train --config=pjs --workdir=run
FROM python:3.11-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim
# Extras of setup.py, with commas: gpu, gcs, beam, onnx, torch.
ARG EXTRAS=""
# The wheel is the version.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    wheel=$(echo /wheels/diffsinger_jax-*.whl) \
    && pip install --no-cache-dir "${wheel}${EXTRAS:+[$EXTRAS]}"
RUN useradd --create-home --uid 1000 singer
USER 1000
WORKDIR /work
ENTRYPOINT ["diffsinger-jax"]
CMD ["--help"]
