"""Takes spans by OTLP over HTTP and counts the requests; cheap, so that sending is measured, not storing."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Sink:
    """A collector that forgets. `with Sink() as sink: sink.endpoint`."""

    def __init__(self) -> None:
        self.batches = 0
        self.size_bytes = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.size_bytes += len(self.rfile.read(int(self.headers.get("content-length", 0))))
                outer.batches += 1
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Sink":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
