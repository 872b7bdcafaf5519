"""The servers that are compared: cenote, nginx, moto.

Each gets one process that does the work. nginx serves files as Debian's package does, with
sendfile and without access log; moto keeps everything in memory and checks no signature.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bench.process import Process, require_free, wait_for_port

__all__ = ["ACCESS_KEY", "BUCKET", "SECRET_KEY", "start_cenote", "start_moto", "start_nginx"]

ACCESS_KEY = "bench-access"
SECRET_KEY = "bench-secret-of-some-length"
BUCKET = "bench"

_NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def start_cenote(root: Path, port: int, *options: str) -> Process:
    """Start `cenote serve` with its defaults on `root`."""
    argv = [sys.executable, "-m", "cenote", "serve", str(root), "--port", str(port)]
    argv += ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY, *options]
    require_free(port)
    process = Process(argv, root.with_name(root.name + ".log"))
    wait_for_port(process, port)
    return process


def start_nginx(root: Path, port: int) -> Process:
    """Start nginx serving the files below `root`."""
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    folder = root.with_name(root.name + "-nginx")
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, root=root, port=port))
    for path in (root.parent, root, folder):
        path.chmod(0o755)  # its worker is another user when root runs this
    require_free(port)
    process = Process([binary, "-c", str(config)], folder / "out.log")
    wait_for_port(process, port)
    return process


def start_moto(folder: Path, port: int, server: str) -> Process:
    """Start `moto_server`, named or in the path `server`."""
    binary = shutil.which(server)
    if binary is None:
        raise SystemExit(f"{server} is not there: pip install 'moto[server]', or --without moto")
    require_free(port)
    process = Process([binary, "-H", "127.0.0.1", "-p", str(port)], folder / "moto.log")
    wait_for_port(process, port)
    return process
