/**
 * Whether a call that failed is made again, and when: backoff, and the end of all patience. No I/O, and no waiting.
 *
 * Only what the want of a server made fail is made again. The call's request id, or its place in a stream, keeps the
 * server from doing anything twice.
 */

import { type Deadline, now } from "./deadline.js";
import type { Reason, RunAgentError } from "./errors.js";

/** For how many seconds a client goes on trying to reach a server that answered before. */
export const DEFAULT_RETRY_SECONDS = 60;

const FIRST_PAUSE_SECONDS = 0.05;
const LONGEST_PAUSE_SECONDS = 2;

// Enough for a connection that breaks before it is one; a port of something else is told soon, all the same.
const STRANGER_SECONDS = 5;

const WANT_OF_A_SERVER: ReadonlySet<Reason> = new Set(["CONNECTION_ERROR", "STREAM_INTERRUPTED", "SHUTTING_DOWN"]);

/** What a client has ever had of a server, which says what it means that none answers. The larger, the more. */
export const Contact = {
  /** Nothing: the address is wrong, or no server runs. Also of a server that would run a repeated call twice. */
  NONE: 0,
  /** Somebody took a connection, and it broke. */
  CONNECTION: 1,
  /** It has answered: one that does not now is being restarted, or cannot be reached for a moment. */
  ANSWER: 2,
} as const;

export type Contact = (typeof Contact)[keyof typeof Contact];

/** The tries of one call. */
export class Retry {
  /** How many failures there were since the server last gave something. */
  failures = 0;
  private failingSince = 0;

  /** `seconds` is how long to go on after a failure; `chance` gives numbers from 0 to 1, which spread callers. */
  constructor(
    private readonly seconds: number,
    readonly deadline: Deadline,
    private readonly clock: () => number = now,
    private readonly chance: () => number = Math.random,
  ) {}

  /** Says that the server gave something that was not there before: patience and backoff start anew. */
  progressed(): void {
    this.failures = 0;
  }

  /**
   * Returns how many seconds to wait before the next try.
   *
   * Throws the error itself where there is to be none, and says in it for how long it was tried.
   */
  pauseAfter(error: RunAgentError, contact: Contact): number {
    const moment = this.clock();
    if (this.failures === 0) {
      this.failingSince = moment;
    }
    const tried = moment - this.failingSince;
    this.failures += 1;
    const pause = Math.max(this.backoff(), error.retryAfter ?? 0);
    if (!WANT_OF_A_SERVER.has(error.reason) || tried + pause > this.patience(contact)) {
      throw this.last(error, tried);
    }
    const remaining = this.deadline.remaining();
    if (remaining !== undefined && remaining <= pause) {
      throw this.last(error, tried);
    }
    return pause;
  }

  private patience(contact: Contact): number {
    switch (contact) {
      case Contact.ANSWER:
        return this.seconds;
      case Contact.CONNECTION:
        return Math.min(this.seconds, STRANGER_SECONDS);
      default:
        return 0;
    }
  }

  private backoff(): number {
    const whole = Math.min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** Math.min(this.failures - 1, 30));
    return whole * (0.5 + 0.5 * this.chance());
  }

  private last(error: RunAgentError, tried: number): RunAgentError {
    if (this.failures < 2 || !WANT_OF_A_SERVER.has(error.reason)) {
      return error;
    }
    return error.with({
      message: `${error.message} It was tried ${String(this.failures)} times in ${tried.toFixed(1)} s.`,
    });
  }
}
