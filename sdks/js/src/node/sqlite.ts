/**
 * Reads a table of a SQLite file: no more than the registry needs, and on every Node.js that this package runs on.
 *
 * `node:sqlite` is not in Node.js 20; what is on npm needs a compiler, or reads a file whole and passes over its
 * write-ahead log, where a server's latest rows are. The format is documented, and kept (sqlite.org/fileformat2.html).
 */

import { closeSync, openSync, readFileSync, readSync } from "node:fs";

/** The columns of a row by their names. */
export type Row = Readonly<Record<string, string | number | bigint | Uint8Array | null>>;

type Value = Row[string];

/** The file changed while it was read, each time that it was tried. */
export class BusyError extends Error {}

const TRIES = 20;
const PAUSE_MILLISECONDS = 10;

const HEADER_BYTES = 100;
const LOG_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;

// What a journal begins with while its transaction is under way.
const JOURNAL_MAGIC = "d9d505f920a163d7";

const INTERIOR_PAGE = 5;
const LEAF_PAGE = 13;

/** Returns a table's rows; none where there is no such table. Throws for what is no SQLite file. */
export function rowsOf(file: string, table: string): Row[] {
  let trouble: unknown;
  for (let tries = 0; tries < TRIES; tries += 1) {
    const descriptor = openSync(file, "r");
    try {
      // The pages are those of one moment if nothing was written, and nothing moved from the log, meanwhile.
      const before = signatureOf(descriptor, file);
      if (before !== undefined) {
        const rows = readTable(new Pages(descriptor, file), table);
        if (signatureOf(descriptor, file) === before) {
          return rows;
        }
      }
      trouble = new BusyError("The file is being written all the time.");
    } catch (error) {
      trouble = error;
    } finally {
      closeSync(descriptor);
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MILLISECONDS);
  }
  throw trouble;
}

function readTable(pages: Pages, table: string): Row[] {
  if (pages.isEmpty) {
    return [];
  }
  for (const { values: described } of records(pages, 1)) {
    const [kind, name, , root, sql] = described;
    if (kind === "table" && name === table) {
      const columns = columnsIn(String(sql));
      return [...records(pages, Number(root))].map(({ rowid, values }) =>
        Object.fromEntries(
          columns.map((column, index) => [
            column.name,
            // An integer primary key is kept in the row's id alone.
            column.isRowid ? rowid : (values[index] ?? null),
          ]),
        ),
      );
    }
  }
  return [];
}

/** The pages of a file, as its write-ahead log says that they are now. */
class Pages {
  readonly size: number;
  readonly reserved: number;
  readonly isEmpty: boolean;
  private readonly logged = new Map<number, Buffer>();

  constructor(
    private readonly descriptor: number,
    file: string,
  ) {
    const header = Buffer.alloc(HEADER_BYTES);
    const read = readSync(descriptor, header, 0, HEADER_BYTES, 0);
    const log = logOf(file);
    this.isEmpty = read === 0 && log.length === 0;
    if (!this.isEmpty && read > 0 && header.toString("latin1", 0, 16) !== "SQLite format 3\0") {
      throw new Error("This is no SQLite file.");
    }
    const size = read > 0 ? header.readUInt16BE(16) : log.length >= LOG_HEADER_BYTES ? log.readUInt32BE(8) : 4096;
    this.size = size === 1 ? 65536 : size;
    this.takeLog(log);
    this.reserved = this.isEmpty ? 0 : this.page(1).readUInt8(20);
  }

  page(number: number): Buffer {
    const logged = this.logged.get(number);
    if (logged !== undefined) {
      return logged;
    }
    const page = Buffer.alloc(this.size);
    if (readSync(this.descriptor, page, 0, this.size, (number - 1) * this.size) < this.size) {
      throw new Error(`The file ends before its page ${String(number)}.`);
    }
    return page;
  }

  /** Takes what transactions have committed and nobody has moved into the file yet. */
  private takeLog(log: Buffer): void {
    if (log.length < LOG_HEADER_BYTES || (log.readUInt32BE(0) & ~1) >>> 0 !== 0x377f0682) {
      return;
    }
    const big = (log.readUInt32BE(0) & 1) === 1;
    const size = log.readUInt32BE(8);
    let sum = checksum(log.subarray(0, 24), big, [0, 0]);
    if (size !== this.size || sum[0] !== log.readUInt32BE(24) || sum[1] !== log.readUInt32BE(28)) {
      return;
    }
    const pending = new Map<number, Buffer>();
    for (let at = LOG_HEADER_BYTES; at + FRAME_HEADER_BYTES + size <= log.length; at += FRAME_HEADER_BYTES + size) {
      const head = log.subarray(at, at + FRAME_HEADER_BYTES);
      const page = log.subarray(at + FRAME_HEADER_BYTES, at + FRAME_HEADER_BYTES + size);
      sum = checksum(page, big, checksum(head.subarray(0, 8), big, sum));
      const isOfThisLog = head.compare(log, 16, 24, 8, 16) === 0;
      if (!isOfThisLog || sum[0] !== head.readUInt32BE(16) || sum[1] !== head.readUInt32BE(20)) {
        return;
      }
      pending.set(head.readUInt32BE(0), page);
      if (head.readUInt32BE(4) > 0) {
        // The last frame of a transaction.
        pending.forEach((committed, number) => this.logged.set(number, committed));
        pending.clear();
      }
    }
  }
}

interface SqliteRecord {
  readonly rowid: number;
  readonly values: readonly Value[];
}

/** Yields the rows of the table whose tree has this root. */
function* records(pages: Pages, root: number, depth = 0): Generator<SqliteRecord> {
  const page = pages.page(root);
  const start = root === 1 ? HEADER_BYTES : 0;
  const kind = page.readUInt8(start);
  const count = page.readUInt16BE(start + 3);
  if ((kind !== INTERIOR_PAGE && kind !== LEAF_PAGE) || depth > 64) {
    throw new Error(`Page ${String(root)} is none of a table.`);
  }
  const cells = start + (kind === LEAF_PAGE ? 8 : 12);
  for (let index = 0; index < count; index += 1) {
    const at = page.readUInt16BE(cells + 2 * index);
    if (kind === LEAF_PAGE) {
      yield recordAt(pages, page, at);
    } else {
      yield* records(pages, page.readUInt32BE(at), depth + 1);
    }
  }
  if (kind === INTERIOR_PAGE) {
    yield* records(pages, page.readUInt32BE(start + 8), depth + 1);
  }
}

function recordAt(pages: Pages, page: Buffer, at: number): SqliteRecord {
  const [size, afterSize] = varint(page, at);
  const [rowid, start] = varint(page, afterSize);
  // How much of a record its own page holds is a rule of the format; the rest is in a chain of pages.
  const usable = pages.size - pages.reserved;
  const most = usable - 35;
  const least = Math.floor(((usable - 12) * 32) / 255) - 23;
  const fitting = least + ((size - least) % (usable - 4));
  const here = size <= most ? size : fitting <= most ? fitting : least;
  const pieces = [page.subarray(start, start + here)];
  let missing = size - here;
  let next = missing > 0 ? page.readUInt32BE(start + here) : 0;
  while (missing > 0) {
    const overflow = pages.page(next);
    const piece = overflow.subarray(4, 4 + Math.min(missing, usable - 4));
    pieces.push(piece);
    missing -= piece.length;
    next = overflow.readUInt32BE(0);
  }
  return { rowid, values: valuesIn(Buffer.concat(pieces)) };
}

function valuesIn(record: Buffer): Value[] {
  const [headerSize, first] = varint(record, 0);
  const values: Value[] = [];
  let at = headerSize;
  for (let header = first; header < headerSize;) {
    const [type, next] = varint(record, header);
    const size = sizeOf(type);
    values.push(valueOf(type, record.subarray(at, at + size)));
    at += size;
    header = next;
  }
  return values;
}

function sizeOf(type: number): number {
  return type >= 12 ? Math.floor((type - 12) / 2) : ([0, 1, 2, 3, 4, 6, 8, 8, 0, 0][type] ?? 0);
}

function valueOf(type: number, bytes: Buffer): Value {
  switch (type) {
    case 0:
      return null;
    case 6: {
      const value = bytes.readBigInt64BE();
      return BigInt.asIntN(53, value) === value ? Number(value) : value;
    }
    case 7:
      return bytes.readDoubleBE();
    case 8:
    case 9:
      return type - 8;
    default:
      if (type < 7) {
        return bytes.readIntBE(0, bytes.length);
      }
      return type % 2 === 0 ? Uint8Array.from(bytes) : bytes.toString();
  }
}

/** Returns a number of one to nine bytes, and where it ends. */
function varint(bytes: Buffer, at: number): [number, number] {
  let value = 0n;
  for (let index = 0; index < 9; index += 1) {
    const byte = bytes.readUInt8(at + index);
    if (index === 8) {
      return [Number(BigInt.asIntN(64, (value << 8n) | BigInt(byte))), at + 9];
    }
    value = (value << 7n) | BigInt(byte & 0x7f);
    if (byte < 0x80) {
      return [Number(value), at + index + 1];
    }
  }
  return [Number(value), at + 9];
}

/** Returns the names of the columns in a CREATE TABLE, in their order. */
function columnsIn(sql: string): { name: string; isRowid: boolean }[] {
  const bare = sql.replace(/--[^\n]*|\/\*.*?\*\//gs, " ");
  const body = bare.slice(bare.indexOf("(") + 1, bare.lastIndexOf(")"));
  const parts: string[] = [];
  let depth = 0;
  let quote = "";
  let part = "";
  for (const character of body) {
    if (quote) {
      quote = character === quote ? "" : quote;
    } else if (`"'\``.includes(character)) {
      quote = character;
    } else if (character === "[") {
      quote = "]";
    } else if (character === "(" || character === ")") {
      depth += character === "(" ? 1 : -1;
    }
    if (character === "," && depth === 0 && !quote) {
      parts.push(part);
      part = "";
    } else {
      part += character;
    }
  }
  return [...parts, part]
    .map((text) => text.trim())
    .filter((text) => !/^(CONSTRAINT|PRIMARY|UNIQUE|CHECK|FOREIGN)\b/i.test(text))
    .map((text) => {
      const name = /^(?:"([^"]*)"|\[([^\]]*)\]|`([^`]*)`|(\S+))/.exec(text)?.slice(1).find(Boolean) ?? "";
      return { name, isRowid: /^\S+\s+INTEGER\s+PRIMARY\s+KEY\b/i.test(text) };
    });
}

function checksum(bytes: Buffer, big: boolean, [first, second]: [number, number]): [number, number] {
  for (let at = 0; at < bytes.length; at += 8) {
    const low = big ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
    const high = big ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4);
    first = (first + low + second) >>> 0;
    second = (second + high + first) >>> 0;
  }
  return [first, second];
}

/**
 * Returns what changes whenever pages are moved from the log into the file, or written without a log; undefined while
 * somebody is about that.
 */
function signatureOf(descriptor: number, file: string): string | undefined {
  if (headOf(`${file}-journal`, JOURNAL_MAGIC.length / 2).toString("hex") === JOURNAL_MAGIC) {
    return undefined;
  }
  const header = Buffer.alloc(HEADER_BYTES);
  readSync(descriptor, header, 0, HEADER_BYTES, 0);
  return `${header.toString("hex", 24, 28)} ${headOf(`${file}-wal`, LOG_HEADER_BYTES).toString("hex")}`;
}

function logOf(file: string): Buffer {
  return reading(`${file}-wal`, (descriptor) => readFileSync(descriptor));
}

function headOf(file: string, bytes: number): Buffer {
  return reading(file, (descriptor) => {
    const head = Buffer.alloc(bytes);
    return head.subarray(0, readSync(descriptor, head, 0, bytes, 0));
  });
}

/** Returns what is read from a file; nothing where there is none. */
function reading(file: string, read: (descriptor: number) => Buffer): Buffer {
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      return Buffer.alloc(0);
    }
    throw error;
  }
  try {
    return read(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
