"""What every gRPC channel of ours is opened with, and every call on it carries."""

from __future__ import annotations

import grpc

from runagent_grpc.addresses import is_loopback
from runagent_grpc.client.address import Address
from runagent_grpc.contract.messages import MAX_MESSAGE_BYTES
from runagent_grpc.version import __version__

__all__ = ["CANCEL_SECONDS", "channel_options", "metadata_of", "open_channel"]

CANCEL_SECONDS = 1.0
"""How long a client that leaves waits for the server to hear of it."""


def open_channel(address: Address) -> grpc.Channel:
    """Opens a channel to the address, for code that blocks."""
    options = channel_options(address)
    if address.tls:
        return grpc.secure_channel(str(address), grpc.ssl_channel_credentials(), options)
    return grpc.insecure_channel(str(address), options)


def channel_options(address: Address) -> list[tuple[str, int | str]]:
    """Returns the options of a channel to the address."""
    return [
        ("grpc.primary_user_agent", f"runagent-python/{__version__}"),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # A connection of its own, rather than one shared with all channels to the address, so that one on which nothing
        # comes any more can be left for another.
        ("grpc.use_local_subchannel_pool", 1),
        # How long an attempt to connect may take; 20 s by default.
        ("grpc.min_reconnect_backoff_ms", 5_000),
        # Until the next attempt is made every call fails at once with what the last one met, so a server that is back
        # would count as away for as long: from 1 s to 120 s by default. To wait for a connection instead
        # (`wait_for_ready`) would leave a caller with a wrong port waiting, too, and tell them nothing.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # A proxy named by the environment has no way to this machine's own loopback.
        ("grpc.enable_http_proxy", 0 if is_loopback(address.host) else 1),
    ]


def metadata_of(api_key: str | None) -> tuple[tuple[str, str], ...]:
    """Returns the metadata that a call carries."""
    return (("authorization", f"Bearer {api_key}"),) if api_key else ()
