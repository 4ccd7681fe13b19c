/**
 * The safetensors format: eight bytes of length, a JSON header, and the tensors' bytes one after the other.
 *
 * Python's safetensors reads what is written here. The reader is strict, because files come from strangers: sizes are
 * multiplied with a check, tensors must follow one another without gap or overlap to the last byte, and nothing is
 * allocated that the file does not hold. It knows no model; model.ts does.
 */
import { createHash } from 'node:crypto'
import { DownhillError } from '../errors'
import type { Floats } from '../plan/plan'

export interface StoredTensor {
  readonly shape: readonly number[]
  readonly data: Floats
}

export interface Contents {
  readonly tensors: ReadonlyMap<string, StoredTensor>
  /** Strings by name. */
  readonly metadata: Readonly<Record<string, string>>
}

/** What a header may be at most, and hold. A model of a thousand layers stays far below. */
const MOST_HEADER_BYTES = 1 << 20
const MOST_TENSORS = 4096

const DTYPES = {
  F32: { bytes: 4, make: (buffer: ArrayBuffer) => new Float32Array(buffer) },
  F64: { bytes: 8, make: (buffer: ArrayBuffer) => new Float64Array(buffer) },
} as const
type StoredDtype = keyof typeof DTYPES

/** The metadata entry that holds the checksum of everything else. */
export const CHECKSUM = 'sha256'
const BLANK = '0'.repeat(64)

interface Entry {
  readonly dtype: StoredDtype
  readonly shape: readonly number[]
  readonly data_offsets: readonly [number, number]
}

/** Bytes whose checksum is taken in one go, some milliseconds. */
const BLOCK = 1 << 22

/** The bytes of a file, in pieces that share the tensors' memory. */
export function encodeTensors(contents: Contents): Buffer[] {
  return atOnce(encode(contents))
}

/** As `encodeTensors`, leaving the event loop a turn between blocks. The tensors must not change meanwhile. */
export async function encodeInTurns(contents: Contents): Promise<Buffer[]> {
  const encoding = encode(contents)
  for (;;) {
    const { done, value } = encoding.next()
    if (done) return value
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Yields between blocks. Little-endian, as the format and every machine Node runs on have it. */
function* encode({ tensors, metadata }: Contents): Generator<void, Buffer[]> {
  const header: Record<string, Entry | Record<string, string>> = { __metadata__: { ...metadata, [CHECKSUM]: BLANK } }
  const pieces: Buffer[] = []
  let at = 0
  for (const [name, { shape, data }] of tensors) {
    const dtype = data instanceof Float64Array ? 'F64' : 'F32'
    header[name] = { dtype, shape, data_offsets: [at, at + data.byteLength] }
    pieces.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength))
    at += data.byteLength
  }
  // Padded so that tensors begin at a multiple of eight, which lets readers map them.
  const text = JSON.stringify(header)
  const padded = text + ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8)
  const sum = yield* checksum(Buffer.from(padded), pieces)
  const json = Buffer.from(padded.replace(BLANK, sum))
  for (const [what, count, most] of [
    ['tensors in a file', tensors.size, MOST_TENSORS],
    ['bytes in the header of a file', json.length, MOST_HEADER_BYTES],
  ] as const)
    if (count > most) throw new DownhillError('ERR_FILE', `Expected at most ${most} ${what} but there are ${count}.`)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return [length, json, ...pieces]
}

/**
 * Checks the checksum where there is one: files of other writers have none.
 * @throws ERR_FILE for anything but a whole, well-formed file; `name` is what the sentence calls it
 */
export function decodeTensors(file: Buffer, name: string): Contents {
  const refuse = (why: string): never => {
    throw new DownhillError('ERR_FILE', `Expected a whole safetensors file at ${name} but ${why}.`)
  }
  if (file.length < 8) refuse(`it has ${file.length} bytes`)
  const headerBytes = file.readBigUInt64LE(0)
  if (headerBytes > BigInt(MOST_HEADER_BYTES) || headerBytes + 8n > BigInt(file.length))
    refuse(`its header claims ${headerBytes} bytes`)
  const dataAt = 8 + Number(headerBytes)
  const json = file.subarray(8, dataAt)
  const data = file.subarray(dataAt)
  const header = parseHeader(json) ?? refuse('its header is not JSON of the right form')
  const { __metadata__: metadata = {}, ...entries } = header as { __metadata__?: unknown } & Record<string, unknown>
  if (!isStrings(metadata)) return refuse('its metadata are not strings')
  const recorded = metadata[CHECKSUM]
  if (recorded !== undefined) {
    const blanked = Buffer.from(json.toString('utf8').replace(recorded, BLANK))
    if (!/^[0-9a-f]{64}$/.test(recorded) || atOnce(checksum(blanked, [data])) !== recorded)
      refuse('its checksum is not that of its bytes')
  }
  const tensors = new Map<string, StoredTensor>()
  let end = 0
  const ordered = Object.entries(entries).map(([key, entry]) => [key, readEntry(entry)] as const)
  if (ordered.length > MOST_TENSORS) refuse(`it holds ${ordered.length} tensors`)
  for (const [key, entry] of ordered.sort((a, b) => (a[1]?.data_offsets[0] ?? 0) - (b[1]?.data_offsets[0] ?? 0))) {
    if (entry === null) return refuse(`the entry of ${JSON.stringify(key)} is malformed`)
    const [from, to] = entry.data_offsets
    const bytes = sizeOf(entry)
    if (from !== end || bytes === null || to - from !== bytes || to > data.length)
      refuse(`the bytes of ${JSON.stringify(key)} are not where they should be`)
    const copy = new ArrayBuffer(bytes as number)
    new Uint8Array(copy).set(data.subarray(from, to))
    tensors.set(key, { shape: entry.shape, data: DTYPES[entry.dtype].make(copy) })
    end = to
  }
  if (end !== data.length) refuse(`${data.length - end} bytes belong to no tensor`)
  return { tensors, metadata }
}

function* checksum(header: Buffer, pieces: readonly Buffer[]): Generator<void, string> {
  const hash = createHash('sha256').update(header)
  let sinceTurn = 0
  for (const piece of pieces)
    for (let at = 0; at < piece.length; at += BLOCK) {
      const block = piece.subarray(at, at + BLOCK)
      hash.update(block)
      sinceTurn += block.length
      if (sinceTurn < BLOCK) continue
      sinceTurn = 0
      yield
    }
  return hash.digest('hex')
}

function atOnce<T>(turns: Generator<void, T>): T {
  for (;;) {
    const { done, value } = turns.next()
    if (done) return value
  }
}

function parseHeader(json: Buffer): object | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(json)
    const header: unknown = JSON.parse(text)
    return typeof header === 'object' && header !== null && !Array.isArray(header) ? header : null
  } catch {
    return null
  }
}

function isStrings(value: unknown): value is Record<string, string> {
  return typeof value === 'object' && value !== null && Object.values(value).every((entry) => typeof entry === 'string')
}

function readEntry(value: unknown): Entry | null {
  if (typeof value !== 'object' || value === null) return null
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>
  const isSize = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPES, dtype)) return null
  if (!Array.isArray(shape) || !shape.every(isSize)) return null
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) return null
  return value as Entry
}

/** Bytes of a tensor; null where the product of its sizes is no safe integer. */
function sizeOf({ shape, dtype }: Entry): number | null {
  let bytes: number = DTYPES[dtype].bytes
  for (const size of shape) {
    bytes *= size
    if (!Number.isSafeInteger(bytes)) return null
  }
  return bytes
}
