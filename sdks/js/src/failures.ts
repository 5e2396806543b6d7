/** What goes wrong on any wire. */

import { ResourceExhaustedError, type RunAgentError, UnavailableError } from "./errors.js";
import { MAX_MESSAGE_BYTES } from "./transport.js";

/** Returns what it means that nothing listens at the address. */
export function nobodyAnswers(address: string, details?: string): RunAgentError {
  return new UnavailableError(`No server answers at ${address}.`, {
    suggestion: "Check the address, and that the server runs (`runagent serve PATH`).",
    details,
  });
}

/** Returns what it means that a connection broke. */
export function lost(address: string, details?: string): RunAgentError {
  return new UnavailableError(`The connection to the server at ${address} was lost.`, { details });
}

/** Returns what it means that an answer is nothing that a RunAgent server says. */
export function notOurs(address: string, details: string): RunAgentError {
  return new UnavailableError(`What answers at ${address} is not a RunAgent server.`, {
    suggestion: "Check the address; `runagent serve` prints it.",
    details,
  });
}

/** Returns what it means that the server sends more than a client takes. */
export function tooLarge(): RunAgentError {
  return new ResourceExhaustedError(`The server sent a value of more than ${String(MAX_MESSAGE_BYTES)} bytes.`, {
    reason: "PAYLOAD_TOO_LARGE",
  });
}
