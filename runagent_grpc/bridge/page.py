"""The page at /docs: one answer that holds its style and its script, and loads nothing from anywhere else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

__all__ = ["DocsPage"]


class DocsPage:
    """Is put together once. Runs its own script and no other, and talks to its own server alone."""

    def __init__(self) -> None:
        folder = files("runagent_grpc.bridge") / "pages"
        page, style, script = (
            (folder / name).read_text(encoding="utf-8") for name in ("docs.html", "docs.css", "docs.js")
        )
        self._text = page.replace("/* style */", style).replace("/* script */", script)
        self._headers = {
            "content-security-policy": "; ".join(
                (
                    "default-src 'none'",
                    "connect-src 'self'",
                    "img-src data:",
                    f"style-src '{_digest(style)}'",
                    f"script-src '{_digest(script)}'",
                    "base-uri 'none'",
                    "form-action 'none'",
                    "frame-ancestors 'none'",
                )
            ),
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        }

    async def show(self, request: Request) -> Response:
        """Answers with the page."""
        return HTMLResponse(self._text, headers=self._headers)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
