"""`runagent run`: calls an entrypoint for its one value."""

from __future__ import annotations

import time

import click

from runagent_cli import output
from runagent_cli.call import FREE_PARAMETERS, PREFIX, CallOptions, call_options
from runagent_cli.failures import CommandFailedError, failing_as
from runagent_cli.interrupts import cancellable

__all__ = ["run"]


@click.command(
    context_settings=FREE_PARAMETERS,
    options_metavar="[OPTIONS] [--key=value]...",
    short_help="Call an entrypoint and print its value.",
)
@call_options()
def run(call: CallOptions) -> None:
    """Calls an entrypoint and prints its value.

    Every --key=value that is no option below is a parameter of the entrypoint. After a bare -- they all are.

    A string is printed as it is, bytes raw, and any other value as one line of JSON.

    \b
    Examples:
      runagent run --id my-agent --local --tag greet --name=Ada
      runagent run --host localhost --port 50051 --tag greet --input ada.json
      runagent run --id my-agent --local --tag label -- --tag=red
    """
    call.target.check_one_approach()
    if call.is_streaming:
        raise CommandFailedError(
            f"{PREFIX}Cannot use streaming Entrypoint tag `{call.tag}` through non-streaming endpoint.",
            suggestion="Use `runagent run-stream`.",
        )
    arguments = call.arguments()
    started = time.monotonic()
    with failing_as(PREFIX), output.DataOutput() as data:
        with call.client() as client, cancellable():
            value = client.run(**arguments)
        data.write_value(value)
    output.aside(f"Done in {time.monotonic() - started:.2f} s.")
