"""Warnings of what stands in a configuration, and should not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from runagent_grpc.lint.finding import Remark
from runagent_grpc.lint.secret_values import holds_credentials, is_placeholder, is_secret
from runagent_grpc.lint.subject import Subject
from runagent_grpc.values.secret_names import names_secret_variable
from runagent_grpc.worker.environment import ENV_FILE
from runagent_grpc.worker.webhook.address import names_private_network, webhook_url_problem

__all__ = [
    "configurations_not_read",
    "ids_of_folders",
    "placeholders",
    "secrets",
    "webhook_credentials",
    "webhooks_without_tls",
]


def configurations_not_read(subject: Subject) -> Iterator[Remark]:
    """A second configuration, in which edits change nothing."""
    for name in subject.unread_files:
        yield Remark(
            file=name,
            text=f"It is not read, for {subject.config_file} is there, too, and counts. Remove one of the two.",
        )


def ids_of_folders(subject: Subject) -> Iterator[Remark]:
    """An agent without an id of its own, which callers lose when its folder moves."""
    if subject.derived_id is not None:
        yield Remark(
            file=subject.config_file,
            line=subject.line_of("agent_id"),
            text=f"`agent_id` is missing. The folder's place gives the agent the id {subject.derived_id}, and another "
            "one when it moves. Write one down.",
        )


def secrets(subject: Subject) -> Iterator[Remark]:
    """A key or a password for all to read who may read the configuration."""
    for name, value in subject.env_vars.items():
        if is_secret(name, value):
            yield subject.in_config(
                f"env_vars.{name}",
                f"holds a secret that whoever has the file can read. Move it to {ENV_FILE}, and remove it here.",
            )


def placeholders(subject: Subject) -> Iterator[Remark]:
    """A value that stands for none, in the way of the one that the environment may have."""
    for name, value in subject.env_vars.items():
        hides = bool(subject.environment.get(name))
        if not names_secret_variable(name) or not (is_placeholder(value) or (hides and not value)):
            continue
        what = "is a placeholder" if value else "is empty"
        how = "and goes before the value that the environment has. Remove it here."
        yield subject.in_config(
            f"env_vars.{name}", f"{what}, {how}" if hides else f"{what}. Remove it here, and set it in {ENV_FILE}."
        )


def webhook_credentials(subject: Subject) -> Iterator[Remark]:
    """A password or a token in an address that is asked."""
    for path, entry in _webhooks(subject):
        if holds_credentials(entry["webhook_url"]):
            yield subject.in_config(
                path,
                "has a password or a token in it that whoever has the file can read. Ask the address in a function "
                "instead, which takes the secret from the environment.",
            )


def webhooks_without_tls(subject: Subject) -> Iterator[Remark]:
    """An address beyond the own network that is asked so that all on the way can listen."""
    for path, entry in _webhooks(subject):
        address = entry["webhook_url"]
        # Whoever allows private addresses means one.
        own_network = entry.get("allow_private_addresses") or names_private_network(urlsplit(address).hostname or "")
        if urlsplit(address).scheme == "http" and not own_network:
            yield subject.in_config(
                path, "leads over the open network without encryption: payloads can be read on the way. Use https://."
            )


def _webhooks(subject: Subject) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for index, entry in enumerate(subject.entries):
        address = entry.get("webhook_url") if isinstance(entry, Mapping) else None
        if isinstance(address, str) and webhook_url_problem(address) is None:
            yield f"agent_architecture.entrypoints[{index}].webhook_url", entry
