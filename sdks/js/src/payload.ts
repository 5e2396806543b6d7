/** Values as they travel: what an entrypoint takes and gives, turned into payloads and back (docs/wire.md, values). */

import { InternalError, InvalidRequestError } from "./errors.js";
import { bytesOf, checkedText, parseJson, stringifyJson } from "./json.js";

/** A value on its way, in one of three forms. */
export type Payload =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "json"; readonly json: string }
  | { readonly kind: "binary"; readonly binary: Uint8Array };

/** JSON text that is to be sent as it is, such as `new RawJson("1.0")`, which no JavaScript number can say. */
export class RawJson {
  constructor(readonly text: string) {}
}

/** Returns the payload of an argument. Throws InvalidRequestError, naming `field`, where the value cannot travel. */
export function argumentTo(value: unknown, field: string): Payload {
  try {
    return payloadOf(value);
  } catch (error) {
    if (error instanceof InvalidRequestError) {
      throw InvalidRequestError.ofArgument(field, error.message);
    }
    throw error;
  }
}

/** Returns the value of a result or a chunk. Throws InternalError for what is no JSON. */
export function valueFrom(payload: Payload): unknown {
  switch (payload.kind) {
    case "text":
      return payload.text;
    case "binary":
      return payload.binary;
    case "json":
      try {
        return parseJson(payload.json);
      } catch (error) {
        throw new InternalError("The server sent a value that is no JSON.", { details: String(error) });
      }
  }
}

/** Returns a payload's JSON, for a wire that knows nothing else. */
export function jsonOf(payload: Payload): string {
  switch (payload.kind) {
    case "text":
      return JSON.stringify(payload.text);
    case "json":
      return payload.json;
    case "binary":
      return stringifyJson(payload.binary);
  }
}

function payloadOf(value: unknown): Payload {
  if (value instanceof RawJson) {
    return { kind: "json", json: checkedText(value.text) };
  }
  if (typeof value === "string") {
    return { kind: "text", text: checkedText(value) };
  }
  const binary = bytesOf(value);
  return binary === undefined ? { kind: "json", json: stringifyJson(value) } : { kind: "binary", binary };
}
