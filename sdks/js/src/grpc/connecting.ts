/** How long a call waits for a connection. */

import { type Client, connectivityState, status, type StatusObject } from "@grpc/grpc-js";

const CONNECT_SECONDS = 5;

/** What can be watched of a call. */
interface Rpc {
  cancel(): void;
  once(event: "metadata", listener: () => void): unknown;
}

/**
 * Ends a call whose connection somebody took and says nothing on: grpc-js has a limit for no part of connecting, and
 * waits as long as that does.
 */
export class Connecting {
  private stuck = false;
  private readonly timer: ReturnType<typeof setTimeout>;

  constructor(client: Client, rpc: Rpc) {
    this.timer = setTimeout(() => {
      if (client.getChannel().getConnectivityState(false) === connectivityState.CONNECTING) {
        this.stuck = true;
        rpc.cancel();
      }
    }, CONNECT_SECONDS * 1000);
    rpc.once("metadata", () => {
      clearTimeout(this.timer);
    });
  }

  /** Returns the status that a call has ended with: another one where it was ended here. */
  ended(told: StatusObject): StatusObject {
    clearTimeout(this.timer);
    if (!this.stuck) {
      return told;
    }
    const details = `No connection established. Nothing was said on it for ${String(CONNECT_SECONDS)} s (ETIMEDOUT).`;
    return { code: status.UNAVAILABLE, details, metadata: told.metadata };
  }
}
