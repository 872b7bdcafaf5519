# The image holds one virtual environment and nothing to build with.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE NOTICE ./
COPY src ./src
RUN python -m venv /opt/cenote
RUN /opt/cenote/bin/pip install --no-cache-dir -c constraints.txt . && /opt/cenote/bin/pip uninstall -qy pip setuptools

FROM python:3.11-slim
RUN useradd --uid 10001 --home-dir /data --shell /usr/sbin/nologin cenote
RUN install -d -o cenote -g cenote -m 0700 /data
COPY --from=build /opt/cenote /opt/cenote
ENV PATH="/opt/cenote/bin:$PATH" PYTHONUNBUFFERED=1
USER cenote
VOLUME /data
EXPOSE 9000
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9000/health', timeout=2)"]
ENTRYPOINT ["cenote"]
# Inside a container every interface is the container's own; what is published is the engine's matter.
CMD ["serve", "/data", "--host", "0.0.0.0"]
