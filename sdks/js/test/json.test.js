// What is written down of values, and read again.

import assert from "node:assert/strict";
import { test } from "node:test";

import { InvalidRequestError, RawJson } from "runagent";

import { parseJson, stringifyJson } from "../dist/esm/json.js";
import { argumentTo, valueFrom } from "../dist/esm/payload.js";

test("integers that a number cannot hold are bigints, and all others are numbers", () => {
  assert.equal(parseJson("9007199254740991"), 9007199254740991);
  assert.equal(parseJson("9007199254740992"), 9007199254740992n);
  assert.equal(parseJson("-9007199254740993"), -9007199254740993n);
  assert.deepEqual(parseJson('{"a":[1,12345678901234567890,1.5e300,"12345678901234567890"]}'), {
    a: [1, 12345678901234567890n, 1.5e300, "12345678901234567890"],
  });
  assert.equal(parseJson("1234567890123456.5"), 1234567890123456.5);
  assert.equal(parseJson("12345678901234567e3"), 12345678901234567e3);
});

test("JSON with long numbers is read as JSON.parse reads the rest", () => {
  const documents = [
    '{"n":1234567890123456,"t":[true,false,null],"e":{},"l":[]}',
    ' [ 1234567890123456 , "a\\"b\\\\" , "\\u00e9\\ud83d\\ude00" , -0.5 ] ',
    '{"__proto__":1234567890123456,"":0}',
    '["\\\\",1234567890123456]',
  ];
  for (const document of documents) {
    assert.deepEqual(parseJson(document), JSON.parse(document));
  }
  assert.deepEqual(Object.keys(parseJson('{"__proto__":12345678901234567}')), ["__proto__"]);
});

test("what is no JSON is refused where there are long numbers, too", () => {
  for (const text of [
    "1234567890123456 1",
    "[1234567890123456",
    "[1234567890123456,]",
    '{"a" 1234567890123456}',
    "{1234567890123456:1}",
    '["1234567890123456]',
    "01234567890123456",
    "1234567890123456.",
    "[1234567890123456,nul]",
    '["\n",1234567890123456]',
  ]) {
    assert.throws(() => JSON.parse(text), SyntaxError);
    assert.throws(() => parseJson(text), SyntaxError, text);
  }
});

test("a long string beside a long number takes no stack", () => {
  const text = "x".repeat(8 * 1024 * 1024);
  assert.deepEqual(parseJson(`[${JSON.stringify(text)},12345678901234567890]`), [text, 12345678901234567890n]);
});

test("every value has the JSON that the documentation says", () => {
  assert.equal(
    stringifyJson([1, 1n, 2n ** 64n, -0, NaN, Infinity, -Infinity]),
    '[1,1,18446744073709551616,-0.0,null,"inf","-inf"]',
  );
  assert.equal(stringifyJson({ bytes: new Uint8Array([0, 255]), gone: undefined }), '{"bytes":"AP8="}');
  assert.equal(stringifyJson(new Map([["a", new Set([1, undefined])]])), '{"a":[1,null]}');
  assert.equal(stringifyJson(new Date(0)), '"1970-01-01T00:00:00.000Z"');
  assert.equal(stringifyJson([new Number(1), new String("a"), Object(2n)]), '[1,"a",2]');
});

test("what cannot travel is refused, and says which argument it was", () => {
  const circle = [];
  circle.push(circle);
  for (const value of ["\ud800", ["\udc00"], { "\ud800": 1 }, 10n ** 4300n, circle, () => 1, Symbol("a")]) {
    assert.throws(
      () => argumentTo(value, "value"),
      (error) =>
        error instanceof InvalidRequestError &&
        error.field === "value" &&
        error.message.startsWith("Argument `value`: "),
    );
  }
});

test("strings, bytes and everything else travel each in their own form", () => {
  assert.deepEqual(argumentTo("a", "value"), { kind: "text", text: "a" });
  assert.deepEqual(argumentTo(Uint8Array.of(1).buffer, "value"), { kind: "binary", binary: Uint8Array.of(1) });
  assert.deepEqual(argumentTo(null, "value"), { kind: "json", json: "null" });
  assert.deepEqual(argumentTo(new RawJson("1.0"), "value"), { kind: "json", json: "1.0" });
  assert.throws(() => valueFrom({ kind: "json", json: "{" }), { reason: "INTERNAL_ERROR" });
});
