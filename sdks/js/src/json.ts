/**
 * JSON with every digit of its integers: those that a double cannot hold are `bigint`, and never rounded.
 *
 * `JSON.parse` and `JSON.stringify` do the work wherever no such number can be; what is here does the rest.
 */

import { InvalidRequestError } from "./errors.js";

/** How deep arrays and objects may nest (docs/wire.md, values). */
export const MAX_DEPTH = 100;

/** How many digits an integer may have. */
export const MAX_INTEGER_DIGITS = 4300;

const INTEGER_LIMIT = 10n ** BigInt(MAX_INTEGER_DIGITS);

// The largest safe integer has sixteen digits.
const LONG_NUMBER = /\d{16}/;

const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const SPACE = /[ \t\n\r]*/y;

/** Parses JSON. Throws SyntaxError for what is none. */
export function parseJson(text: string): unknown {
  return LONG_NUMBER.test(text) ? new Parser(text).whole() : (JSON.parse(text) as unknown);
}

/**
 * Returns a value's JSON. Throws InvalidRequestError for what has none, nests too deep or is no valid text.
 *
 * Beside what JSON knows: `bigint` with all its digits, bytes as base64, a `Map` with string keys as an object, a `Set`
 * as an array, and whatever `toJSON()` gives. NaN is null, and the infinities are the strings "inf" and "-inf".
 */
export function stringifyJson(value: unknown): string {
  return written(value, 0);
}

function written(value: unknown, depth: number): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(checkedText(value));
    case "number":
      return writtenNumber(value);
    case "bigint":
      return writtenInteger(value);
    case "boolean":
      return String(value);
    case "undefined":
      return "null";
    case "object":
      return value === null ? "null" : writtenObject(value, depth + 1);
    default:
      throw new InvalidRequestError(`a ${typeof value} cannot be sent.`);
  }
}

function writtenNumber(value: number): string {
  if (Number.isFinite(value)) {
    return Object.is(value, -0) ? "-0.0" : JSON.stringify(value);
  }
  return Number.isNaN(value) ? "null" : value > 0 ? '"inf"' : '"-inf"';
}

function writtenInteger(value: bigint): string {
  if (value >= INTEGER_LIMIT || value <= -INTEGER_LIMIT) {
    throw new InvalidRequestError(`an integer has more than ${MAX_INTEGER_DIGITS.toLocaleString("en")} digits.`);
  }
  return value.toString();
}

function writtenObject(value: object, depth: number): string {
  const bytes = bytesOf(value);
  if (bytes !== undefined) {
    return JSON.stringify(base64Of(bytes));
  }
  if (depth > MAX_DEPTH) {
    throw new InvalidRequestError(`the value nests more than ${String(MAX_DEPTH)} levels deep, or holds itself.`);
  }
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return written((value.toJSON as () => unknown)(), depth);
  }
  if (Array.isArray(value) || value instanceof Set) {
    return `[${Array.from(value as Iterable<unknown>, (item) => written(item, depth)).join(",")}]`;
  }
  if (value instanceof String || value instanceof Number || value instanceof Boolean || value instanceof BigInt) {
    return written(value.valueOf(), depth);
  }
  const entries = value instanceof Map ? value.entries() : Object.entries(value);
  const fields: string[] = [];
  for (const [name, item] of entries as Iterable<[unknown, unknown]>) {
    if (typeof item !== "undefined") {
      fields.push(`${JSON.stringify(checkedText(String(name)))}:${written(item, depth)}`);
    }
  }
  return `{${fields.join(",")}}`;
}

/** Returns the bytes of a value that holds bytes, whichever of JavaScript's ways it does so. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) {
    return value;
  }
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  return value instanceof ArrayBuffer ? new Uint8Array(value) : undefined;
}

/** Returns a text that UTF-8 can hold. Throws InvalidRequestError for one with a lone surrogate. */
export function checkedText(text: string): string {
  if (!text.isWellFormed()) {
    throw new InvalidRequestError("the text holds half of a surrogate pair, which UTF-8 cannot.");
  }
  return text;
}

function base64Of(bytes: Uint8Array): string {
  let text = "";
  // In pieces, for a function takes only so many arguments.
  for (let start = 0; start < bytes.length; start += 8192) {
    text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  }
  return btoa(text);
}

/** Parses JSON that holds long numbers. Strings are left to `JSON.parse`. */
class Parser {
  private position = 0;

  constructor(private readonly text: string) {}

  whole(): unknown {
    const value = this.value();
    if (this.position < this.text.length) {
      throw this.wrong();
    }
    return value;
  }

  /** Reads a value, and the space around it. */
  private value(): unknown {
    this.take(SPACE);
    const value = this.bare();
    this.take(SPACE);
    return value;
  }

  private bare(): unknown {
    switch (this.text[this.position]) {
      case "{":
        return this.object();
      case "[":
        return this.array();
      case '"':
        return this.string();
      case "t":
        return this.word("true", true);
      case "f":
        return this.word("false", false);
      case "n":
        return this.word("null", null);
      default:
        return this.number();
    }
  }

  private object(): unknown {
    const entries: [string, unknown][] = [];
    this.items("}", () => {
      this.take(SPACE);
      const name = this.string();
      this.take(SPACE);
      this.expect(":");
      entries.push([name, this.value()]);
    });
    // Unlike an assignment, this has no meaning of its own for "__proto__".
    return Object.fromEntries(entries);
  }

  private array(): unknown {
    const items: unknown[] = [];
    this.items("]", () => items.push(this.value()));
    return items;
  }

  private items(end: string, read: () => void): void {
    this.position += 1;
    this.take(SPACE);
    if (this.text[this.position] === end) {
      this.position += 1;
      return;
    }
    for (;;) {
      read();
      if (this.text[this.position] !== ",") {
        break;
      }
      this.position += 1;
    }
    this.expect(end);
  }

  private string(): string {
    // By hand: a pattern keeps a place to go back to for each character, and runs out of them in long strings.
    const start = this.position;
    this.expect('"');
    let end = this.position - 1;
    do {
      end = this.text.indexOf('"', end + 1);
      if (end < 0) {
        throw this.wrong();
      }
    } while (this.isEscaped(end));
    this.position = end + 1;
    return JSON.parse(this.text.slice(start, this.position)) as string;
  }

  private isEscaped(position: number): boolean {
    let before = position - 1;
    while (this.text[before] === "\\") {
      before -= 1;
    }
    return (position - before) % 2 === 0;
  }

  private number(): number | bigint {
    const [text, fraction, exponent] = this.taken(NUMBER);
    const value = Number(text);
    return fraction !== undefined || exponent !== undefined || Number.isSafeInteger(value) ? value : BigInt(text);
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.position)) {
      throw this.wrong();
    }
    this.position += word.length;
    return value;
  }

  private expect(character: string): void {
    if (this.text[this.position] !== character) {
      throw this.wrong();
    }
    this.position += 1;
  }

  private taken(pattern: RegExp): RegExpExecArray {
    const found = this.take(pattern);
    if (found === null) {
      throw this.wrong();
    }
    return found;
  }

  private take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.position;
    const found = pattern.exec(this.text);
    this.position += found?.[0].length ?? 0;
    return found;
  }

  private wrong(): SyntaxError {
    return new SyntaxError(`This is no JSON, at position ${String(this.position)}.`);
  }
}
