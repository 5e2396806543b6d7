"""`runagent run-stream`: calls a streaming entrypoint, and prints its chunks as they come."""

from __future__ import annotations

import time

import click

from runagent_cli import output
from runagent_cli.call import FREE_PARAMETERS, PREFIX, CallOptions, call_options
from runagent_cli.failures import CommandFailedError, failing_as
from runagent_cli.interrupts import cancellable

__all__ = ["run_stream"]


@click.command(
    context_settings=FREE_PARAMETERS,
    options_metavar="[OPTIONS] [--key=value]...",
    short_help="Call a streaming entrypoint and print its chunks as they come.",
)
@call_options
def run_stream(call: CallOptions) -> None:
    """Calls a streaming entrypoint, whose tag ends in _stream, and prints its chunks as they come.

    Every --key=value that is no option below is a parameter of the entrypoint. After a bare -- they all are.

    Strings and bytes are printed exactly as they are, with no newline added; any other chunk is one line of JSON.
    Ctrl-C cancels the call.

    \b
    Examples:
      runagent run-stream --id my-agent --local --tag chat_stream --message="Hi"
      runagent run-stream --host localhost --port 50051 --tag chat_stream \\
        --input hello.json
    """
    _check(call)
    arguments = call.arguments()
    started = time.monotonic()
    count = 0
    with (
        failing_as(PREFIX),
        output.DataOutput() as data,
        call.client() as client,
        cancellable(),
        client.run_stream(**arguments) as chunks,
        data.watching_reader(on_left=chunks.close),
    ):
        for chunk in chunks:
            data.write_chunk(chunk)
            count += 1
    output.aside(f"{count:,} {'chunk' if count == 1 else 'chunks'} in {time.monotonic() - started:.2f} s.")


def _check(call: CallOptions) -> None:
    target = call.target
    if not target.agent_id and (target.host is None or target.port is None):
        raise CommandFailedError(f"{PREFIX}Either --id or both --host and --port are required")
    target.check_whole_address()
    if not call.is_streaming:
        raise CommandFailedError(
            f"{PREFIX}Streaming command requires entrypoint tag ending with '_stream'. Got: {call.tag}",
            suggestion="Use `runagent run` for an entrypoint that returns one value.",
        )
