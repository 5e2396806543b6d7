/** Waiting that ends early: for an aborted signal, or for a time that is up. */

/** Waits for some seconds. Rejects with the signal's reason when it is aborted first. */
export function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(reasonOf(signal));
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(reasonOf(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, milliseconds(seconds));
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** What `within` gives where nothing came in time. */
export const TIME_IS_UP = Symbol("time is up");

/** Returns what a promise comes to, or TIME_IS_UP after so many seconds. Undefined waits for ever. */
export async function within<T>(promise: Promise<T>, seconds: number | undefined): Promise<T | typeof TIME_IS_UP> {
  if (seconds === undefined) {
    return promise;
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<typeof TIME_IS_UP>((resolve) => {
    timer = setTimeout(resolve, milliseconds(seconds), TIME_IS_UP);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** Returns what a signal was aborted with, which JavaScript's own calls reject with, too. */
export function reasonOf(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason : new DOMException("The call was aborted.", "AbortError");
}

/** Returns a timer's delay: one beyond 2^31 would end at once, and NaN does, too. */
export function milliseconds(seconds: number): number {
  return Math.min(seconds * 1000, 2 ** 31 - 1);
}
