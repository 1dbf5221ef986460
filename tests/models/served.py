"""A service on this machine, in a thread, that answers as a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

Reply = tuple[int, bytes, Mapping[str, str]]


@dataclass
class Served:
    """url: where it is. requests: headers and images of each. replies: sent in this order before `answer` is asked.
    pause: Seconds before each byte of an answer. header_pause: Seconds before each of its headers.
    connections: That were opened."""

    answer: Callable[[Any], Any]
    url: str = ""
    requests: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    pause: float = 0.0
    header_pause: float = 0.0
    connections: int = 0

    @property
    def images(self) -> int:
        return sum(len(images) for _, images in self.requests)

    def reply(self, headers: dict[str, str], body: bytes) -> Reply:
        if headers["Content-Type"] == "image/png":
            pixels = np.asarray(Image.open(io.BytesIO(body)), dtype=np.float32) / 255
            images = pixels[None, None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)[None]
        else:
            images = np.frombuffer(body, "<f4").reshape([int(n) for n in headers["X-Shape"].split(",")])
        self.requests.append((headers, images))
        return self.replies.pop(0) if self.replies else (200, json.dumps(self.answer(images)).encode(), {})


@contextmanager
def served(answer: Callable[[Any], Any]) -> Iterator[Served]:
    """The service while it is open."""
    service = Served(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            service.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, content, headers = service.reply(dict(self.headers), body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
                if service.header_pause:
                    time.sleep(service.header_pause)
                    try:
                        self.flush_headers()
                    except OSError:  # nobody reads any more
                        return
            self.end_headers()
            if not service.pause:
                self.wfile.write(content)
                return
            for at in range(len(content)):
                time.sleep(service.pause)
                try:
                    self.wfile.write(content[at : at + 1])
                except OSError:  # nobody reads any more
                    return

        def log_message(self, *told: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}/predict"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
