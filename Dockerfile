# One image for the five services, the jobs and the command line.
FROM python:3.13.14-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/run.txt requirements/bootstrap.txt requirements/
RUN python -m venv /opt/tollway \
 && /opt/tollway/bin/python -m pip install --require-hashes -r requirements/run.txt \
 && python -m venv /tmp/build \
 && /tmp/build/bin/python -m pip install --require-hashes -r requirements/bootstrap.txt
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY libs libs
COPY services services
RUN /tmp/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
 && /opt/tollway/bin/python -m pip install --no-deps --no-index /tmp/wheel/tollway-*.whl \
 && /opt/tollway/bin/python -m compileall -q /opt/tollway/lib

FROM python:3.13.14-slim-bookworm
RUN groupadd --gid 10001 tollway \
 && useradd --uid 10001 --gid 10001 --home-dir /data --shell /usr/sbin/nologin tollway \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data /credentials
COPY --from=build /opt/tollway /opt/tollway
ENV PATH=/opt/tollway/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TOLLWAY_DATA_DIR=/data
USER tollway
WORKDIR /data
CMD ["tollway", "--help"]
