"""What a webhook's call fails with: sentences for the caller, who may learn the host of a target, and no more of it.

A path, a query or the credentials in an address are as good as a key, so none of them is ever part of a text.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpcore
import httpx

from runagent_grpc.worker.webhook.errors import WebhookError, WebhookTimeoutError

__all__ = [
    "broken_off",
    "failures_become_webhook_errors",
    "leads_nowhere",
    "leads_to_private_address",
    "refused_status",
    "reported_error",
    "too_silent",
    "too_slow",
]


_MOST_OF_A_REPORT = 500
# How h11 and httpcore say that a connection ended too soon; they have one kind of error for it and for all else.
_BROKEN_OFF = re.compile("disconnected|incomplete|closed connection|without sending complete")


@contextmanager
def failures_become_webhook_errors(host: str, seconds: float) -> Iterator[None]:
    """Turns what httpcore raises, whose own texts say nothing to a caller, into what went wrong with the webhook."""
    try:
        yield
    except httpcore.TimeoutException:
        raise too_silent(seconds) from None
    except httpcore.ConnectError as error:
        raise _unreachable(host, error) from None
    except httpcore.ProxyError:
        raise WebhookError(
            "The proxy does not let the webhook's call through. Correct HTTPS_PROXY, or name the host in NO_PROXY."
        ) from None
    except httpcore.RemoteProtocolError as error:
        raise broken_off() if _BROKEN_OFF.search(str(error)) else _unreadable() from None
    except (httpcore.NetworkError, httpcore.ProtocolError):
        raise broken_off() from None


def too_slow(seconds: float) -> WebhookTimeoutError:
    return WebhookTimeoutError(
        f"The webhook timed out: its answer was not complete after {seconds:g} s. "
        "Raise the entrypoint's `timeout`, or see what keeps the webhook busy."
    )


def too_silent(seconds: float) -> WebhookTimeoutError:
    return WebhookTimeoutError(
        f"The webhook timed out: it was silent for {seconds:g} s. "
        "Raise the entrypoint's `timeout`, or let the webhook send something sooner."
    )


def leads_nowhere(host: str) -> WebhookError:
    return WebhookError(f"The webhook's host {host} has no address. Correct `webhook_url`, or the name service.")


def leads_to_private_address(host: str) -> WebhookError:
    return WebhookError(
        f"The webhook's host {host} leads to an address that is not public. "
        "Set the entrypoint's `allow_private_addresses` to true if it is meant to."
    )


def broken_off() -> WebhookError:
    return WebhookError(
        "The webhook broke off before its answer was complete. Try again, or see the webhook's own log."
    )


def reported_error(data: str) -> WebhookError:
    """Returns the failure that a target reports in the middle of a stream, as an event named `error`."""
    text = data
    with suppress(ValueError, RecursionError):
        value = json.loads(data)
        value = value.get("error", value) if isinstance(value, dict) else value
        value = value.get("message", value) if isinstance(value, dict) else value
        text = value if isinstance(value, str) else data
    shown = "".join(character if character.isprintable() else " " for character in text[:_MOST_OF_A_REPORT])
    return WebhookError(f"The webhook reports an error: {shown.strip().rstrip('.')}. See the webhook's own log.")


def refused_status(status: int) -> WebhookError:
    """Returns what an answer means that is neither a success nor followed."""
    if 300 <= status < 400:
        return WebhookError(
            f"The webhook answered {status}: it is somewhere else. Name the place itself in `webhook_url`, "
            "or set the entrypoint's `follow_redirects` to true."
        )
    phrase = httpx.codes.get_reason_phrase(status)
    # Published clients take any text with this number for a key of their own that is not allowed.
    name = phrase if status == httpx.codes.FORBIDDEN else f"{status} {phrase}".rstrip()
    return WebhookError(f"The webhook answered {name}. {_ADVICE.get(status) or _advice_of_class(status)}")


_CREDENTIALS = "Put the credentials that it asks for into `webhook_url`, or let it ask for none."
_ADDRESS = "Correct `webhook_url` and `method`, and see that what answers there is switched on."

_ADVICE: dict[int, str] = {
    httpx.codes.UNAUTHORIZED: _CREDENTIALS,
    httpx.codes.FORBIDDEN: _CREDENTIALS,
    httpx.codes.NOT_FOUND: _ADDRESS,
    httpx.codes.METHOD_NOT_ALLOWED: _ADDRESS,
    httpx.codes.GONE: _ADDRESS,
    httpx.codes.REQUEST_TIMEOUT: "Try again later.",
    httpx.codes.TOO_MANY_REQUESTS: "Try again later, and less often.",
}


def _advice_of_class(status: int) -> str:
    if 400 <= status < 500:
        return "See which payload it expects."
    return "Try again later, or see its own log."


def _unreachable(host: str, error: BaseException) -> WebhookError:
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return WebhookError(
                f"The webhook's host {host} cannot be trusted: {cause.verify_message.rstrip('.')}. "
                "Correct its certificate, or name the authority behind it in SSL_CERT_FILE."
            )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return WebhookError(
            f"The webhook's host {host} speaks no TLS that is understood. Correct the scheme and port of `webhook_url`."
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return leads_nowhere(host)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return WebhookError(
            f"The webhook's host {host} refuses connections. Start what answers there, or correct `webhook_url`."
        )
    return WebhookError(
        f"The webhook's host {host} cannot be reached. See that it is up, and that the network lets calls through."
    )


def _unreadable() -> WebhookError:
    return WebhookError("The webhook's answer is no HTTP that can be read. See what answers at `webhook_url`.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                yield from _causes(part)
        error = error.__cause__ or error.__context__
