/** The moment when a caller's time is up: one for a whole call, however often it is tried. */

import { DeadlineExceededError, type RunAgentError } from "./errors.js";

/** When a call that begins just now has to be over. Everything is in seconds. */
export class Deadline {
  private end: number | undefined;

  /** `timeout` is what the caller gave the whole call; undefined sets no end. */
  constructor(
    readonly timeout: number | undefined,
    private readonly clock: () => number = now,
  ) {
    this.begin();
  }

  /** Counts from now on: for a call that was prepared before it begins. */
  begin(): void {
    this.end = this.timeout === undefined ? undefined : this.clock() + this.timeout;
  }

  get passed(): boolean {
    return this.end !== undefined && this.clock() >= this.end;
  }

  /** Returns the seconds until then, at most `limit`. */
  remaining(): number | undefined;
  remaining(limit: number): number;
  remaining(limit?: number): number | undefined {
    if (this.end === undefined) {
      return limit;
    }
    const remaining = Math.max(0, this.end - this.clock());
    return limit === undefined ? remaining : Math.min(remaining, limit);
  }

  /** Returns the seconds that a server is told to give the work; whole ones where the caller gave whole ones. */
  runTimeout(): number | undefined {
    const remaining = this.remaining();
    // Published servers take no others.
    return remaining !== undefined && Number.isInteger(this.timeout) ? Math.ceil(remaining) : remaining;
  }

  /** Returns what it means that it has passed. */
  error(details?: string): RunAgentError {
    return new DeadlineExceededError(`The call timed out after ${String(this.timeout ?? 0)} s.`, { details });
  }
}

/** Returns the seconds of a clock that never goes back. */
export function now(): number {
  return performance.now() / 1000;
}
