/** The transport of a client, which is made when it is first needed, and made again when the server has moved. */

import type { Address } from "./address.js";
import { UnavailableError } from "./errors.js";
import { Contact } from "./retry.js";
import type { Farewell, Transport } from "./transport.js";

// A server that is restarted is back at its old address, most likely; one that is not gets looked for.
const FAILURES_BEFORE_LOOKING = 3;

/** How a connection comes by what it needs; everything that reaches beyond this program. */
export interface Connecting {
  /** Returns where the client was told to look. May be another place each time. */
  lookup(): Address;
  /** Returns where the server is, and what it speaks: "grpc" or "http". */
  find(address: Address): Promise<Address>;
  /** Returns where a server is now that answers no more; undefined while nobody says so. */
  findAgain(address: Address): Promise<Address | undefined>;
  open(found: Address, contact: Contact): Transport;
}

/** One client's connection. */
export class Connection {
  private opening: Promise<Transport> | undefined;
  private transport: Transport | undefined;
  private found: Address | undefined;
  private contact: Contact = Contact.NONE;
  private generation = 0;

  constructor(
    private address: Address,
    private readonly connecting: Connecting,
  ) {}

  /** Returns the transport, connecting if need be: of calls that come at once, the first does. */
  async opened(): Promise<Transport> {
    if (this.transport !== undefined) {
      return this.transport;
    }
    this.opening ??= this.open(this.generation).finally(() => {
      this.opening = undefined;
    });
    return this.opening;
  }

  /**
   * Returns what to use after so many failures of a transport.
   *
   * It is another one if the server has moved, or if what this one is connected to is `silent`. Who uses the old one
   * still, finds out by themselves.
   */
  async after(transport: Transport, failures: number, silent = false): Promise<Transport> {
    let replace = silent;
    if (this.transport === transport && failures >= FAILURES_BEFORE_LOOKING) {
      replace = (await this.moved()) || silent;
    }
    if (this.transport === transport && replace && this.found !== undefined) {
      this.contact = transport.contact;
      this.transport = this.connecting.open(this.found, this.contact);
    }
    // One that was closed says so to whoever uses it still.
    return this.transport ?? transport;
  }

  /** Cancels what a caller has left, where that can have reached anybody. */
  async withdraw(farewell: Farewell): Promise<void> {
    await this.transport?.withdraw(farewell);
  }

  /** Closes the transport, if there is one. */
  close(): void {
    this.generation += 1;
    const transport = this.transport;
    this.transport = undefined;
    if (transport !== undefined) {
      this.contact = transport.contact;
      transport.close();
    }
  }

  private async open(generation: number): Promise<Transport> {
    // Leases may have been written since the client was made.
    const address = this.address.servers === undefined ? this.address : this.connecting.lookup();
    this.found = await this.connecting.find(address);
    if (generation !== this.generation) {
      throw new UnavailableError("The client was closed.");
    }
    if (this.found.resumable !== undefined) {
      this.contact = Contact.ANSWER;
    }
    this.transport = this.connecting.open(this.found, this.contact);
    return this.transport;
  }

  private async moved(): Promise<boolean> {
    let address: Address;
    try {
      address = this.connecting.lookup();
    } catch {
      return false;
    }
    const found = await this.connecting.findAgain(address);
    const before = this.found;
    if (before === undefined || found?.transport !== before.transport) {
      return false;
    }
    if (found.host === before.host && found.port === before.port && found.tls === before.tls) {
      return false;
    }
    this.address = address;
    this.found = found;
    return true;
  }
}
