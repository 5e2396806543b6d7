"""The ids of invocations: UUIDs that differ in their first digits, and come in the order of their last."""

from __future__ import annotations

import time
import uuid

from runagent_grpc.engine.ids import new_invocation_id


def test_an_id_is_a_uuid_that_holds_its_time() -> None:
    before = time.time_ns() // 1_000_000
    text = new_invocation_id()
    after = time.time_ns() // 1_000_000
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)
    assert before <= parsed.node <= after


def test_first_digits_tell_ids_apart_and_last_ones_keep_them_in_order() -> None:
    ids = [new_invocation_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    # Two of them may be alike by chance; so many as are made at once would be, if time came first.
    assert len({text[:8] for text in ids}) > 9_990
    assert [text[24:] for text in ids] == sorted(text[24:] for text in ids)
