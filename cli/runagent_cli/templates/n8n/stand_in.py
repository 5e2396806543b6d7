"""Answers in the place of n8n, in a process of its own: `python stand_in.py`, until you press Ctrl-C.

`python stand_in.py 0` takes any free port, and says which.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 5678
"""Where n8n listens, too."""

NODE = {"nodeName": "AI Agent"}


def words(prompt: str) -> Iterator[str]:
    """Gives an answer word by word, as slowly as one can read along."""
    for word in f"You said: {prompt}".split():
        yield f"{word} "
        time.sleep(0.05)


class Workflows(BaseHTTPRequestHandler):
    """Two workflows that answer `{"chatInput": ...}`, as n8n's chats are asked, or a text."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        payload = json.loads(body) if body else "nothing"
        prompt = payload.get("chatInput") if isinstance(payload, dict) else str(payload)
        if not isinstance(prompt, str):
            self._respond({"message": "The workflow takes {'chatInput': ...}, or a text."}, 422)
        elif self.path == "/webhook/answer":
            self._respond({"output": "".join(words(prompt))})
        elif self.path == "/webhook/answer-stream":
            self._stream(prompt)
        else:
            self._respond({"message": f"The webhook {self.path} is not registered."}, 404)

    def _respond(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, prompt: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self._send({"type": "begin", "metadata": NODE})
            for word in words(prompt):
                self._send({"type": "item", "content": word, "metadata": NODE})
            self._send({"type": "end", "metadata": NODE})
            self.wfile.write(b"0\r\n\r\n")
        except ConnectionError:
            self.log_message("The caller has left.")

    def _send(self, item: dict[str, Any]) -> None:
        line = f"{json.dumps(item)}\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else PORT
    with ThreadingHTTPServer(("127.0.0.1", port), Workflows) as server:
        print(f"Answering at http://127.0.0.1:{server.server_port}/webhook/", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
