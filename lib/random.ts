/**
 * Random numbers: one seed decides everything, on every backend and platform.
 *
 * Two kinds. A *stream* (sfc32) is drawn from in order: initial weights, shuffles, splits. A *hash* is asked for the
 * number at a place (seed, stream, step, index): dropout masks, which the native backend computes too, bit for bit,
 * without either side keeping state. Streams with different labels are independent: adding a draw to one room does not
 * change the numbers of another.
 */

/** A seed nobody chose: 32 random bits. Readable as `net.seed`, so that any run can be repeated. */
export function drawSeed(): number {
  return (Math.random() * 0x1_0000_0000) >>> 0
}

/**
 * A bijection of 32-bit integers that leaves no visible pattern (Wellons, "lowbias32", 2018; bias 0.17 of an ideal hash).
 * native/random.h holds its twin; test/random.test.ts holds both to the same numbers.
 */
export function mix32(x: number): number {
  let h = x | 0
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d)
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b)
  return (h ^ (h >>> 16)) >>> 0
}

/** The key of one mask: all that does not change from element to element. `stream` tells layers apart. */
export function maskKey(seed: number, stream: number, step: number): number {
  return mix32(mix32(mix32(seed) ^ stream) ^ step)
}

/** 32 uniform bits for element `index` under `key`. */
export function maskBits(key: number, index: number): number {
  return mix32(key + Math.imul(index, 0x9e3779b9))
}

/** A stream of random numbers. */
export interface Random {
  /** An integer in [0, 2³²). */
  bits(): number
  /** Uniform in [0, 1), 53 bits. */
  uniform(): number
  /** Standard normal, by Marsaglia's polar method. */
  normal(): number
  /** An integer in [0, n), without bias. */
  below(n: number): number
}

/** Streams by label, so that each room draws its own numbers. */
const STREAMS = { weights: 1, shuffle: 2, split: 3, masks: 4, sample: 5, lanczos: 6, search: 7 } as const

/**
 * The stream `label` of a seed; `part` tells its parts apart (a layer, an epoch).
 * sfc32 (Doty-Humphrey, PractRand): 128 bits of state, passes PractRand to 32 TB and more.
 */
export function random(seed: number, label: keyof typeof STREAMS, part = 0): Random {
  let a = mix32(seed)
  let b = mix32(a ^ STREAMS[label])
  let c = mix32(b ^ part)
  let counter = 1
  const bits = (): number => {
    const t = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + t
    return t >>> 0
  }
  for (let i = 0; i < 12; i++) bits()
  const uniform = (): number => (bits() * 0x20_0000 + (bits() >>> 11)) / 0x20_0000_0000_0000
  let spare: number | null = null
  const normal = (): number => {
    if (spare !== null) {
      const z = spare
      spare = null
      return z
    }
    for (;;) {
      const u = 2 * uniform() - 1
      const v = 2 * uniform() - 1
      const s = u * u + v * v
      if (s >= 1 || s === 0) continue
      const r = Math.sqrt((-2 * Math.log(s)) / s)
      spare = v * r
      return u * r
    }
  }
  const below = (n: number): number => {
    for (;;) {
      const x = bits()
      // Only the last n numbers may be too many; and the remainder by a division, exact here, since % of doubles is slow.
      if (x < 0x1_0000_0000 - n || x < 0x1_0000_0000 - (0x1_0000_0000 % n)) return x - Math.floor(x / n) * n
    }
  }
  return { bits, uniform, normal, below }
}

/** Shuffles in place (Fisher–Yates, from the end) and returns the array. */
export function shuffle(rows: Uint32Array, from: Random): Uint32Array {
  for (const _ of shuffled(rows, from, rows.length));
  return rows
}

/** The same, `piece` rows at a time, for who has something else to do in between. */
export function* shuffled(rows: Uint32Array, from: Random, piece: number): Generator<void, void> {
  for (let i = rows.length - 1; i > 0; ) {
    for (const until = Math.max(0, i - piece); i > until; i--) {
      const j = from.below(i + 1)
      const held = rows[i]
      rows[i] = rows[j]
      rows[j] = held
    }
    yield
  }
}

/** 0 … n−1. */
export function countTo(n: number): Uint32Array {
  const rows = new Uint32Array(n)
  for (let i = 0; i < n; i++) rows[i] = i
  return rows
}
