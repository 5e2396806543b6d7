"""JSON as webhooks' targets write it."""

from __future__ import annotations

import json
from typing import Any

from runagent_grpc.worker.webhook.errors import WebhookError

__all__ = ["parsed"]


def parsed(document: str | bytes) -> Any:
    """Parses JSON, exactly, and lets through what many let through: NaN, and a name that stands twice.

    Raises WebhookError for what is no JSON, or more than a payload may hold (docs/wire.md, values).
    """
    try:
        return json.loads(document)
    except RecursionError:
        raise WebhookError("The webhook's answer nests too deep. Let it answer with a flatter value.") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise WebhookError(
            "The webhook's answer says that it is JSON, and is not. See what answers at `webhook_url`."
        ) from None
    except ValueError:
        # Python's own limit (CVE-2020-10735), and ours.
        raise WebhookError(
            "The webhook's answer holds an integer of more than 4,300 digits. Let it answer with a string."
        ) from None
