"""Pages, counts and owners."""

from __future__ import annotations

from pathlib import Path

import pytest

from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.errors import InvalidRequestError, NotFoundError
from runagent_grpc.store import History, HistoryStore
from runagent_grpc.store.values import Kept
from runagent_grpc.values.payload import Json, Payload, TruncatedPayload
from tests.store.recording import NOON, begin, end, log, record


def test_pages_lead_from_the_newest_invocation_to_the_oldest(store: HistoryStore) -> None:
    ids = [record(store) for _ in range(5)]
    token, found, sizes = "", [], []
    while True:
        page = store.history.page(limit=2, token=token)
        found += [invocation.invocation_id for invocation in page.invocations]
        sizes.append(len(page.invocations))
        token = page.next_token
        if not token:
            break
    assert (found, sizes) == (ids[::-1], [2, 2, 1])


def test_a_page_does_not_move_when_more_invocations_come(store: HistoryStore) -> None:
    ids = [record(store) for _ in range(3)]
    page = store.history.page(limit=2)
    record(store)
    assert [one.invocation_id for one in store.history.page(token=page.next_token).invocations] == ids[:1]


def test_a_page_may_be_of_one_agent_and_of_some_states(store: HistoryStore) -> None:
    record(store, agent_id="other")
    running = begin(store).invocation_id
    failed = begin(store)
    end(store, failed, state=InvocationState.FAILED)
    record(store)
    page = store.history.page(agent_id="agent", states=[InvocationState.RUNNING, InvocationState.FAILED])
    assert [one.invocation_id for one in page.invocations] == [failed.invocation_id, running]


def test_a_page_tells_of_input_and_output_only_where_it_is_asked_to(store: HistoryStore) -> None:
    record(store, "out", "in")
    (told,) = store.history.page().invocations
    assert (told.input, told.result, told.result_size) == (None, None, 3)
    (told,) = store.history.page(payloads=True).invocations
    assert (told.input, told.result, told.result_size) == ('{"args":["in"],"kwargs":{}}', "out", 3)


def test_output_can_be_had_as_json(store: HistoryStore) -> None:
    def output_of(
        result: Payload | None = None, first: tuple[Kept, ...] = (), last: tuple[Kept, ...] = ()
    ) -> str | None:
        invocation = begin(store)
        end(store, invocation, result, first_chunks=first, last_chunks=last)
        return store.history.get(invocation.invocation_id).output

    assert [output_of(result) for result in (None, "", "é\n", b"\xff", Json("[1]"))] == [
        None,
        '""',
        '"é\\n"',
        '"/w=="',
        "[1]",
    ]
    excerpt = TruncatedPayload(beginning="[1,", size=99_999)
    assert output_of(first=("a", excerpt), last=(Json("{}"),)) == (
        '{"first_chunks":["a",{"excerpt":"[1,","size":99999}],"last_chunks":[{}]}'
    )


@pytest.mark.parametrize("token", ["x", "-1", "1 ", "\N{FULLWIDTH DIGIT ONE}", "9" * 19])
def test_a_token_that_no_page_gave_is_refused(store: HistoryStore, token: str) -> None:
    for ask in (store.history.page, store.history.logs):
        with pytest.raises(InvalidRequestError) as caught:
            ask(token=token)
        assert caught.value.field == "page_token"


def test_each_owner_sees_what_is_theirs(store: HistoryStore) -> None:
    mine, theirs = record(store, owner="mine"), record(store, owner="theirs")
    log(store, mine, "mine")
    log(store, theirs, "theirs")
    history = store.history
    assert history.get(mine, owner="mine").invocation_id == mine
    with pytest.raises(NotFoundError):
        history.get(theirs, owner="mine")
    assert [one.invocation_id for one in history.page(owner="mine").invocations] == [mine]
    assert history.stats(owner="mine").total == 1
    assert [line.text for line in history.logs(owner="mine").lines] == ["mine"]
    assert history.logs(owner="mine", invocation_id=theirs).lines == ()
    assert history.page(owner="").invocations == ()


def test_history_of_some_agents_holds_what_is_theirs_whatever_is_asked_for(store: HistoryStore) -> None:
    ids = {agent_id: record(store, agent_id=agent_id) for agent_id in ("one", "two", "three")}
    for agent_id, invocation_id in ids.items():
        log(store, invocation_id, agent_id)
    history = store.history.of_agents(["one", "two"])
    assert history.get(ids["one"]).agent_id == "one"
    with pytest.raises(NotFoundError):
        history.get(ids["three"])
    assert [each.agent_id for each in history.page().invocations] == ["two", "one"]
    assert history.page(agent_id="three").invocations == ()
    assert (history.stats().total, history.stats(agent_id="three").total) == (2, 0)
    assert history.ids_starting_with(ids["three"]) == []
    for lines_of in (history.logs, history.latest_logs):
        assert [line.text for line in lines_of().lines] == ["one", "two"]
        assert lines_of(agent_id="three").lines == lines_of(invocation_id=ids["three"]).lines == ()
    # Narrowing never adds an agent.
    assert [each.agent_id for each in history.of_agents(["two", "three"]).page().invocations] == ["two"]
    assert history.of_agents([]).page().invocations == ()


def test_invocations_are_counted_by_state(store: HistoryStore) -> None:
    record(store)
    record(store)
    end(store, begin(store), state=InvocationState.TIMED_OUT)
    record(store, agent_id="other")
    stats = store.history.stats(agent_id="agent")
    assert (stats.total, stats.average_seconds, stats.last_start) == (3, 2.0, NOON)
    assert stats.states == {InvocationState.COMPLETED: 2, InvocationState.TIMED_OUT: 1}


def test_pages_of_lines_lead_on_to_those_that_are_yet_to_come(store: HistoryStore) -> None:
    invocation_id = record(store)
    for text in "abc":
        log(store, invocation_id, text)
    first = store.history.logs(limit=2)
    second = store.history.logs(limit=2, token=first.next_token)
    third = store.history.logs(limit=2, token=second.next_token)
    assert [[line.text for line in page.lines] for page in (first, second, third)] == [["a", "b"], ["c"], []]
    log(store, invocation_id, "d")
    assert [line.text for line in store.history.logs(token=third.next_token).lines] == ["d"]


def test_the_latest_lines_come_the_oldest_first(store: HistoryStore) -> None:
    one, two = record(store), record(store)
    for text in "abc":
        log(store, one, text)
    log(store, two, "d")
    assert [line.text for line in store.history.latest_logs(limit=2).lines] == ["c", "d"]
    assert [line.text for line in store.history.latest_logs(limit=2, invocation_id=one).lines] == ["b", "c"]


def test_a_prefix_stands_for_the_ids_that_begin_with_it(store: HistoryStore) -> None:
    invocation_id = record(store)
    record(store)
    assert store.history.ids_starting_with(invocation_id[:20]) == [invocation_id]
    assert store.history.ids_starting_with("%") == []
    assert len(store.history.ids_starting_with("")) == 2


def test_where_there_is_no_file_there_is_no_history_and_none_is_made(database: Path) -> None:
    history = History(database)
    assert history.page().invocations == ()
    assert history.stats().total == 0
    assert history.logs().lines == history.latest_logs().lines == ()
    assert history.ids_starting_with("") == []
    with pytest.raises(NotFoundError):
        history.get("any")
    assert not database.parent.exists()
