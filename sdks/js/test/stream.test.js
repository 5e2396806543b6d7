// What a stream means, event by event, and when a call is made again.

import assert from "node:assert/strict";
import { test } from "node:test";

import { UnavailableError } from "runagent";

import { Deadline } from "../dist/esm/deadline.js";
import { Contact, Retry } from "../dist/esm/retry.js";
import { StreamState } from "../dist/esm/stream.js";

const CALL = { agentId: "a", requestId: "r", onDisconnect: "linger" };
const text = (...texts) => texts.map((one) => ({ kind: "text", text: one }));
const started = (invocationId = "i", heartbeatSeconds = 15) => ({ kind: "started", invocationId, heartbeatSeconds });
const chunks = (firstSequence, ...texts) => ({ kind: "chunks", firstSequence, values: text(...texts) });

function retry({ seconds = 30, timeout, clock = () => 0 } = {}) {
  return new Retry(seconds, new Deadline(timeout, clock), clock, () => 1);
}

test("chunks are handed on once, and those that come again are dropped", () => {
  const state = new StreamState({ call: CALL }, retry());
  assert.deepEqual(state.request, { call: CALL });
  state.receive(started());
  assert.deepEqual(state.receive(chunks(1, "a", "b")), text("a", "b"));
  assert.deepEqual(state.receive(chunks(2, "b", "c")), text("c"));
  assert.deepEqual(state.receive(chunks(1, "a")), []);
  assert.deepEqual(state.request, { resume: { invocationId: "i", afterSequence: 3 }, agentId: "a" });
  assert.equal(state.silenceLimit, 45);
  state.receive({ kind: "completed", chunkCount: 3 });
  assert.equal(state.completed, true);
});

test("a chunk that is missing is an error, and so is one that the end counts and that never came", () => {
  const state = new StreamState({ call: CALL }, retry());
  state.receive(started());
  assert.throws(() => state.receive(chunks(2, "b")), { reason: "STREAM_INTERRUPTED", invocationId: "i" });
  assert.throws(() => state.receive({ kind: "completed", chunkCount: 1 }), { reason: "STREAM_INTERRUPTED" });
  assert.equal(state.completed, false);
});

test("the stream of another invocation is refused", () => {
  const state = new StreamState({ resume: { invocationId: "i", afterSequence: 0 }, agentId: "" }, retry());
  assert.equal(state.farewell, undefined);
  assert.throws(() => state.receive(started("j")), { reason: "INTERNAL_ERROR" });
});

test("an end without the terminal event is taken up again for a while, and is an error then", () => {
  let moment = 0;
  const state = new StreamState({ call: CALL }, retry({ clock: () => moment }));
  state.receive(started());
  const pauses = [];
  assert.throws(
    () => {
      for (;;) {
        const pause = state.end(Contact.ANSWER);
        pauses.push(pause);
        moment += pause;
      }
    },
    {
      reason: "STREAM_INTERRUPTED",
      message: /^The stream ended before the entrypoint did\. It was tried \d+ times in 2\d\.\d s\.$/,
    },
  );
  assert.deepEqual(pauses.slice(0, 8), [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2, 2]);
});

test("a server that never answered is not tried again, and one whose time is up is not either", () => {
  const gone = new UnavailableError("Gone.");
  assert.throws(() => retry().pauseAfter(gone, Contact.NONE), gone);
  assert.throws(() => retry({ timeout: 0.01 }).pauseAfter(gone, Contact.ANSWER), gone);
  assert.throws(() => retry({ seconds: 0 }).pauseAfter(gone, Contact.ANSWER), gone);
  assert.equal(retry().pauseAfter(new UnavailableError("Later.", { retryAfter: 7 }), Contact.ANSWER), 7);
});

test("what is heard of the server makes patience begin anew, but starting twice does not", () => {
  const tries = retry();
  const state = new StreamState({ call: CALL }, tries);
  state.receive(started());
  state.end(Contact.ANSWER);
  state.receive(started());
  assert.equal(state.failures, 1);
  state.receive({ kind: "heartbeat" });
  assert.equal(state.failures, 0);
});
