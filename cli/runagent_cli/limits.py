"""The options of `serve` that say how much a server takes on, and how patient it is."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from runagent_grpc.engine import EngineSettings

__all__ = ["Limits", "limit_options"]

_A_YEAR = 365 * 24 * 3600


class _Number(click.FloatRange):
    """A number that is one: click's own lets NaN through, which is within every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A server's limits, as the command line names them."""

    max_concurrent: int
    max_queued: int
    rate_limit: float | None
    run_timeout: float | None
    heartbeat: float
    drain_grace: float

    def of_engine(self) -> EngineSettings:
        from runagent_grpc.engine import EngineSettings

        return EngineSettings(
            max_invocations=self.max_concurrent,
            max_queued=self.max_queued,
            rate_limit=self.rate_limit,
            max_run_timeout=self.run_timeout,
            heartbeat_interval=self.heartbeat,
        )


_OPTIONS = (
    click.option(
        "--max-concurrent",
        type=click.IntRange(min=1),
        default=1000,
        show_default=True,
        metavar="N",
        help="How many calls may run at once.",
    ),
    click.option(
        "--max-queued",
        type=click.IntRange(min=0),
        default=100,
        show_default=True,
        metavar="N",
        help="How many more may wait for their turn; beyond that they are refused.",
    ),
    click.option(
        "--rate-limit",
        type=_Number(min=0, max=1e6, min_open=True),
        metavar="N",
        help="How many calls a second each API key may make, and all callers together where there are no keys.",
    ),
    click.option(
        "--run-timeout",
        type=_Number(min=0, max=_A_YEAR, min_open=True),
        metavar="SECONDS",
        help="How long any call may run, whatever it asks for.",
    ),
    click.option(
        "--heartbeat",
        type=_Number(min=0.1, max=3600),
        default=15.0,
        show_default=True,
        metavar="SECONDS",
        help="After how much silence a stream sends a sign of life. Less than what proxies on the way put up with.",
    ),
    click.option(
        "--drain-grace",
        type=_Number(min=0, max=_A_YEAR),
        default=30.0,
        show_default=True,
        metavar="SECONDS",
        help="How long calls may take to end when the server is told to stop.",
    ),
)


def limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command these options, which it takes as its argument `limits`."""

    @functools.wraps(command)
    def with_limits(
        *args: Any,
        max_concurrent: int,
        max_queued: int,
        rate_limit: float | None,
        run_timeout: float | None,
        heartbeat: float,
        drain_grace: float,
        **options: Any,
    ) -> None:
        limits = Limits(
            max_concurrent=max_concurrent,
            max_queued=max_queued,
            rate_limit=rate_limit,
            run_timeout=run_timeout,
            heartbeat=heartbeat,
            drain_grace=drain_grace,
        )
        command(*args, limits=limits, **options)

    for option in reversed(_OPTIONS):
        with_limits = option(with_limits)
    return with_limits
