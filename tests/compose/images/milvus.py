#!/venv/bin/python
"""Serve Milvus Lite under the command, port and health page of the image of Milvus: `milvus run standalone`."""

from __future__ import annotations

import signal
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from milvus_lite.adapter.grpc.server import start_server_in_thread

ANY = "0.0.0.0"  # noqa: S104 - a container's own network


class Health(BaseHTTPRequestHandler):
    """The health page."""

    def do_GET(self) -> None:
        """Answer every path."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


stopped = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopped.set())
server, database, _ = start_server_in_thread(data_dir="/var/lib/milvus/lite", host=ANY, port=19530)
health = HTTPServer((ANY, 9091), Health)
threading.Thread(target=health.serve_forever, daemon=True).start()
stopped.wait()
server.stop(grace=1).wait()
database.close()
