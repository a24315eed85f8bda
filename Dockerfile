# minikv in a container.
#
#   docker build -t minikv .
#   docker run -p 127.0.0.1:6379:6379 -v minikv-data:/data minikv --requirepass secret
#
# vm.overcommit_memory belongs to the host's kernel: no image and no --sysctl of a container can set it. On the host:
#   sysctl vm.overcommit_memory=1
# Without it a BGSAVE's fork may be refused when the data set is large; `minikv-server --check-system` tells what holds:
#   docker run --rm --entrypoint minikv-server minikv --check-system
# The same goes for /sys/kernel/mm/transparent_hugepage/enabled (madvise or always, for short forks).
# A memory limit of the container counts server and snapshot child together.

FROM python:3.13-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
RUN python -m venv /minikv
COPY pyproject.toml CMakeLists.txt README.md LICENSE ./
COPY cmake cmake
COPY minikv minikv
RUN /minikv/bin/pip install --no-cache-dir . \
    && /minikv/bin/pip uninstall -y pip

FROM python:3.13-slim
# Inside a container every interface is the way in; `docker run -p` chooses what is published. Protected mode still refuses
# clients from elsewhere as long as there is no password: set one (--requirepass), or turn it off knowingly.
RUN useradd --system --no-create-home --shell /usr/sbin/nologin minikv \
    && install -d -o minikv -g minikv /data \
    && printf 'bind * -::*\ndir /data\n' > /etc/minikv.conf
COPY --from=build /minikv /minikv
ENV PATH=/minikv/bin:$PATH
USER minikv
VOLUME /data
WORKDIR /data
EXPOSE 6379
# docker stop: save, then exit. Large data sets may want more than docker's 10 seconds: docker stop --time 60.
STOPSIGNAL SIGTERM
# Any RESP reply means that the server lives: it may be loading, or want a password.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import socket; s = socket.create_connection(('127.0.0.1', 6379), 2); s.sendall(b'PING\\r\\n'); assert s.recv(1) in (b'+', b'-')"]
ENTRYPOINT ["minikv-server", "/etc/minikv.conf"]
