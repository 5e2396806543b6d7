"""What entrypoints print and log: whose line it is, and where it goes."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC

import pytest

from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.core.recorder import OutputLine
from runagent_grpc.errors import DeadlineExceededError
from runagent_grpc.testing import RunningServer, serving
from runagent_grpc.worker.output import OutputCapture
from runagent_grpc.worker.started_threads import following_threads
from tests.waiting import eventually


class Lines:
    """A recorder that keeps the log lines, and the order in which invocations ended."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.ended_ids: list[str] = []
        self.may_follow_the_end = False

    def started(self, record: InvocationRecord, call: Call) -> None: ...

    def ended(self, record: InvocationRecord) -> None:
        self.ended_ids.append(record.invocation_id)

    def logged(self, line: OutputLine) -> None:
        assert line.time.tzinfo is UTC
        assert self.may_follow_the_end or line.invocation_id not in self.ended_ids, (
            "a line came after its invocation's end"
        )
        self.told.append((line.invocation_id, line.level, line.text))

    def texts(self) -> list[str]:
        return [text for _, _, text in self.told]


def printing(message: str) -> str:
    print(message)  # noqa: T201 - what is tested
    print("and", end=" ")  # noqa: T201 - what is tested
    print("more")  # noqa: T201 - what is tested
    print("no end", end="", flush=True)  # noqa: T201 - what is tested
    return message


def logging_stream(message: str) -> Iterator[str]:
    logging.getLogger("author").warning("saw %s", message)
    yield message
    print(f"after {message}")  # noqa: T201 - what is tested


@pytest.fixture
def lines() -> Lines:
    return Lines()


@contextmanager
def listening_server(lines: Lines) -> Iterator[RunningServer]:
    # Not a fixture: pytest puts its own standard output in place between set-up and test.
    capture = OutputCapture(lines.logged)
    agent = {"printing": printing, "logging_stream": logging_stream}
    with capture.installed(), serving(agent, recorder=lines, output=capture) as server:
        yield server


def test_what_is_printed_becomes_the_invocations_lines_the_unfinished_one_too(
    lines: Lines,
) -> None:
    with listening_server(lines) as server:
        server.client("printing").run(message="hello")

    assert lines.texts() == ["hello", "and more", "no end"]
    assert len({invocation_id for invocation_id, _, _ in lines.told}) == 1


def test_what_is_printed_reaches_standard_error_and_never_standard_output(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening_server(lines) as server:
        server.client("printing").run(message="hello")

    out, err = capsys.readouterr()
    assert "hello\nand more\nno end" in err
    assert out == ""


def test_logging_keeps_its_level_and_generators_keep_their_invocation(lines: Lines) -> None:
    with listening_server(lines) as server:
        stream = server.client("logging_stream").run_stream(message="hello")
        assert list(stream) == ["hello"]

    assert lines.told == [(stream.invocation_id, "WARNING", "saw hello"), (stream.invocation_id, "INFO", "after hello")]


def test_lines_of_two_invocations_do_not_mix(lines: Lines) -> None:
    with listening_server(lines) as server:
        first, second = (server.client("logging_stream").run_stream(message=name) for name in ("one", "two"))
        next(first)
        next(second)
        assert [*first, *second] == []

    by_invocation: dict[str, list[str]] = {}
    for invocation_id, _, text in lines.told:
        by_invocation.setdefault(invocation_id, []).append(text)
    assert by_invocation == {
        first.invocation_id: ["saw one", "after one"],
        second.invocation_id: ["saw two", "after two"],
    }


def test_outside_of_an_invocation_standard_output_is_what_it_was(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sys.stdout
    with OutputCapture(lines.logged).installed():
        print("the server's own words")  # noqa: T201 - what is tested
        logging.getLogger("server").warning("started")

    assert sys.stdout is before
    assert capsys.readouterr().out == "the server's own words\n"
    assert lines.told == []


def test_a_line_that_never_ends_is_told_in_pieces(lines: Lines) -> None:
    def endless() -> None:
        for _ in range(3):
            print("x" * 40_000, end="")  # noqa: T201 - what is tested

    capture = OutputCapture(lines.logged)
    with capture.installed(), serving({"endless": endless}, recorder=lines, output=capture) as server:
        server.client("endless").run()

    assert [len(text) for text in lines.texts()] == [80_000, 40_000]


def test_what_is_printed_after_the_outcome_is_joined_until_the_function_ends() -> None:
    lines, may_print = Lines(), threading.Event()

    def late() -> None:
        may_print.wait(10)
        print("closing", 3, "files")  # noqa: T201 - what is tested
        print("too", end=" ")  # noqa: T201 - what is tested
        print("late", end="")  # noqa: T201 - what is tested

    capture = OutputCapture(lines.logged)
    with capture.installed(), serving({"late": late}, recorder=lines, output=capture) as server:
        with pytest.raises(DeadlineExceededError):
            server.client("late", timeout=0.2).run()
        lines.may_follow_the_end = True
        may_print.set()
        eventually(lambda: lines.texts() == ["closing 3 files", "too late"])


def test_a_log_call_that_cannot_be_formatted_fails_no_invocation(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    def clumsy() -> str:
        logging.getLogger("author").warning("%d", "x")
        return "fine"

    # pytest's own handlers raise, as those of a program do not.
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    capture = OutputCapture(lines.logged)
    with capture.installed(), serving({"clumsy": clumsy}, recorder=lines, output=capture) as server:
        assert server.client("clumsy").run() == "fine"


def test_standard_output_is_still_a_standard_stream(lines: Lines, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    def low_level() -> bool:
        sys.stdout.buffer.write(b"raw")
        sys.stdout.buffer.flush()
        return sys.stdout.isatty()

    capture = OutputCapture(lines.logged)
    with capture.installed(), serving({"low_level": low_level}, recorder=lines, output=capture) as server:
        assert server.client("low_level").run() is False
    assert capfdbinary.readouterr().out == b"raw"


def test_what_goes_to_standard_error_becomes_lines_a_traceback_too(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    def troubled() -> None:
        print("out", end="")  # noqa: T201 - what is tested
        print("to stderr", file=sys.stderr)  # noqa: T201 - what is tested
        print("side")  # noqa: T201 - what is tested
        try:
            raise ValueError("no good")
        except ValueError:
            traceback.print_exc()

    capture = OutputCapture(lines.logged)
    with capture.installed(), serving({"troubled": troubled}, recorder=lines, output=capture) as server:
        server.client("troubled").run()

    first, second, *trace = lines.texts()
    assert (first, second) == ("to stderr", "outside")
    assert (trace[0], trace[-1]) == ("Traceback (most recent call last):", "ValueError: no good")
    assert "to stderr\nside\nTraceback" in capsys.readouterr().err


def test_a_log_line_that_a_handler_writes_to_standard_error_is_one_line(lines: Lines) -> None:
    def configured() -> None:
        logger = logging.getLogger("author.configured")
        logger.addHandler(logging.StreamHandler(sys.stderr))
        logger.warning("once")

    capture = OutputCapture(lines.logged)
    with capture.installed(), serving({"configured": configured}, recorder=lines, output=capture) as server:
        server.client("configured").run()
    logging.getLogger("author.configured").handlers.clear()

    assert lines.texts() == ["once"]


SHARED_POOL = ThreadPoolExecutor(1)


def in_a_thread(work: Callable[[str], None], name: str) -> None:
    thread = threading.Thread(target=work, args=(name,))
    thread.start()
    thread.join()


def in_a_nested_thread(work: Callable[[str], None], name: str) -> None:
    in_a_thread(lambda name: in_a_thread(work, name), name)


def in_a_pool(work: Callable[[str], None], name: str) -> None:
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(work, [name])) == [None]


def in_a_shared_pool(work: Callable[[str], None], name: str) -> None:
    SHARED_POOL.submit(work, name).result()


THREADS = (in_a_thread, in_a_nested_thread, in_a_pool, in_a_shared_pool)


@pytest.mark.parametrize("run_on", THREADS)
def test_threads_write_for_the_invocation_that_started_them_or_gave_them_work(
    lines: Lines, run_on: Callable[[Callable[[str], None], str], None]
) -> None:
    def speak(name: str) -> None:
        print(f"{name} printed")  # noqa: T201 - what is tested
        print(f"{name} to stderr", file=sys.stderr)  # noqa: T201 - what is tested
        logging.getLogger("author").warning("%s logged", name)

    def threaded(name: str) -> None:
        run_on(speak, name)

    def threaded_stream(name: str) -> Iterator[int]:
        run_on(speak, name)
        yield 1

    capture = OutputCapture(lines.logged)
    agent = {"threaded": threaded, "threaded_stream": threaded_stream}
    with capture.installed(), following_threads(), serving(agent, recorder=lines, output=capture) as server:
        server.client("threaded").run(name="one")
        assert list(server.client("threaded_stream").run(name="two")) == [1]

    said = ("printed", "to stderr", "logged")
    assert lines.texts() == [f"{name} {what}" for name in ("one", "two") for what in said]
    assert [line[0] for line in lines.told] == [lines.ended_ids[0]] * 3 + [lines.ended_ids[1]] * 3


def test_a_thread_that_outlives_its_invocation_writes_for_nobody(lines: Lines) -> None:
    may_print, printed = threading.Event(), threading.Event()

    def late() -> None:
        may_print.wait(10)
        print("too late")  # noqa: T201 - what is tested
        printed.set()

    def starting() -> None:
        print("started")  # noqa: T201 - what is tested
        threading.Thread(target=late, daemon=True).start()

    capture = OutputCapture(lines.logged)
    with (
        capture.installed(),
        following_threads(),
        serving({"starting": starting}, recorder=lines, output=capture) as server,
    ):
        server.client("starting").run()
        may_print.set()
        assert printed.wait(10)

    assert lines.texts() == ["started"]


def test_threads_are_started_as_before_where_no_server_has_the_process() -> None:
    before = threading.Thread.start, ThreadPoolExecutor.submit, logging.Logger.callHandlers, sys.stdout, sys.stderr
    with OutputCapture(lambda line: None).installed(), following_threads():
        assert threading.Thread.start is not before[0]
    assert (
        threading.Thread.start,
        ThreadPoolExecutor.submit,
        logging.Logger.callHandlers,
        sys.stdout,
        sys.stderr,
    ) == before
