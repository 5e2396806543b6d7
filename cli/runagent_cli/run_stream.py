"""`runagent run-stream`: calls a streaming entrypoint, or takes its stream up, and prints its chunks as they come."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import click

from runagent_cli import output
from runagent_cli.call import FREE_PARAMETERS, PREFIX, CallOptions, call_options
from runagent_cli.failures import CommandFailedError, failing_as
from runagent_cli.interrupts import cancellable
from runagent_cli.resume_hint import ResumeHint
from runagent_cli.target import utf8_text

if TYPE_CHECKING:
    from runagent_grpc.client import RunAgentClient

__all__ = ["run_stream"]


@click.command(
    context_settings=FREE_PARAMETERS,
    options_metavar="[OPTIONS] [--key=value]...",
    short_help="Call a streaming entrypoint and print its chunks as they come.",
)
@call_options(tag_required=False)
@click.option("--detach", is_flag=True, help="Let the entrypoint run to its end, whatever becomes of this command.")
@click.option(
    "--resume",
    metavar="INVOCATION_ID",
    callback=utf8_text,
    help="Take up the stream of an invocation, instead of a call of its own. Goes with no tag and no parameters.",
)
@click.option(
    "--after",
    type=click.IntRange(0, 2**63 - 1),
    metavar="N",
    help="The number of the last chunk that is not wanted again; with --resume.  [default: 0, all of them]",
)
def run_stream(call: CallOptions, detach: bool, resume: str | None, after: int | None) -> None:
    """Calls a streaming entrypoint, whose tag ends in _stream, and prints its chunks as they come.

    Every --key=value that is no option below is a parameter of the entrypoint. After a bare -- they all are.

    Strings and bytes are printed exactly as they are, with no newline added; any other chunk is one line of JSON.
    Ctrl-C cancels the call, unless it is detached.

    \b
    Examples:
      runagent run-stream --id my-agent --local --tag chat_stream --message="Hi"
      runagent run-stream --host localhost --port 50051 --tag chat_stream \\
        --input hello.json
      runagent run-stream --id my-agent --local --tag report_stream --detach
      runagent run-stream --id my-agent --local \\
        --resume 1f0c9f52-7a2b-4d0e-9b1c-5e8a34d2c6f7 --after 17
    """
    _check(call, detach=detach, resume=resume, after=after)
    arguments = call.arguments() if resume is None else {}
    started = time.monotonic()
    first = after or 0
    goes_on = detach or resume is not None
    place = ResumeHint(call.target, after=first)
    with (
        failing_as(PREFIX),
        place.told() if goes_on else contextlib.nullcontext(),
        output.DataOutput() as data,
        _client(call, detach=detach, resume=resume) as client,
        cancellable() as block,
        client.run_stream(**arguments) if resume is None else client.resume(resume, first) as chunks,
        data.watching_reader(on_left=chunks.close),
    ):
        place.chunks = chunks
        if detach:
            chunks.when_started(place.announce)
        # Where nobody counts, a write that waits for its reader can be interrupted as it is.
        whole = block if goes_on else contextlib.nullcontext()
        for chunk in chunks:
            with whole:
                data.write_chunk(chunk)
                place.after += 1
    count = place.after - first
    output.aside(f"{count:,} {'chunk' if count == 1 else 'chunks'} in {time.monotonic() - started:.2f} s.")


def _client(call: CallOptions, *, detach: bool, resume: str | None) -> RunAgentClient:
    if resume is not None:
        return call.target.client(timeout=call.timeout)
    return call.client(on_disconnect="detach") if detach else call.client()


def _check(call: CallOptions, *, detach: bool, resume: str | None, after: int | None) -> None:
    if resume is None:
        if not call.tag:
            raise click.MissingParameter(param_hint="'--tag'", param_type="option", ctx=click.get_current_context())
        if after is not None:
            raise click.UsageError("--after goes with --resume, which names the invocation.")
    elif detach or call.tag or call.extra or call.input_file or call.user_id or call.persistent_memory:
        raise click.UsageError(
            "--resume takes a stream up as it was started: leave out the tag, and all that goes with it."
        )
    target = call.target
    if not target.agent_id and (target.host is None or target.port is None):
        raise CommandFailedError(f"{PREFIX}Either --id or both --host and --port are required")
    target.check_whole_address()
    if resume is None and not call.is_streaming:
        raise CommandFailedError(
            f"{PREFIX}Streaming command requires entrypoint tag ending with '_stream'. Got: {call.tag}",
            suggestion="Use `runagent run` for an entrypoint that returns one value.",
        )
