"""What a call of a webhook raises when it fails. The sentences are `wording.py`'s."""

from __future__ import annotations

__all__ = ["WebhookError", "WebhookTimeoutError"]


class WebhookError(Exception):
    """A target did not answer as it should. The text tells the caller what happened, and what to do about it."""


class WebhookTimeoutError(WebhookError):
    """A target took longer than its entrypoint's `timeout`."""
