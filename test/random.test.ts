/**
 * Random numbers: known answers first, then that they look random, then that nothing depends on what it should not.
 *
 * The known answers were computed by a C program of its own from the definitions (sfc32 by Doty-Humphrey, lowbias32 by
 * Wellons), not by this library. They are a promise: a seed gives the same model next year. native/random.h is held to
 * the same masks by parity.test.ts and by its own test.
 */
import t from 'tap'
import { countTo, drawSeed, maskBits, maskKey, mix32, random, shuffle } from '../dist/random'

// ---------------------------------------------------------------------------------------------------- known answers

const MIXED: readonly [x: number, mixed: number][] = [
  [0, 0],
  [1, 0x688990c0],
  [2, 0xd1132181],
  [42, 0x172733c2],
  [0x7fffffff, 0x8d29ffb8],
  [0x80000000, 0xcc4b4124],
  [0xdeadbeef, 0xe628c683],
  [0xffffffff, 0x6768824a],
]

const INDICES = [0, 1, 2, 1_000_003, 0xffffffff]
const MASKS: readonly { at: readonly [seed: number, stream: number, step: number]; key: number; bits: number[] }[] = [
  { at: [0, 0, 0], key: 0, bits: [0, 0x01fce552, 0x04f8d29e, 0x2b7a637e, 0x7ed47951] },
  { at: [4, 1, 0], key: 0xa051e49a, bits: [0x1febfcae, 0xd775ff25, 0xa857f709, 0x91766753, 0xaf0c6d83] },
  { at: [4, 2, 0], key: 0x8fdf1495, bits: [0x2623562e, 0x9290a8a0, 0x6eac1e14, 0xaa23bf1f, 0xf7cfe7d4] },
  { at: [4, 1, 1], key: 0xc330c077, bits: [0xdece6061, 0x94350bbb, 0xc7e44015, 0x61672295, 0xc0eb5f2f] },
  {
    at: [0xffffffff, 3, 0x80000000],
    key: 0x1e3a7a71,
    bits: [0x5b1d8dd8, 0x1d45f0c9, 0x733757a3, 0xa81e7ea2, 0x6c1b3aac],
  },
]

interface Known {
  readonly at: Parameters<typeof random>
  readonly bits: number[]
  readonly uniform: number[]
  readonly normal: number[]
  /** Of below(10). */
  readonly below: number[]
  /** Of 0 … 9. */
  readonly shuffled: number[]
}

const STREAMS: readonly Known[] = [
  {
    at: [0, 'weights', 0],
    bits: [0x8f3ceca4, 0xc3f2009b, 0x383874ed, 0xd53380b0, 0x579d1849],
    uniform: [0.55952338240235377, 0.21961146170106183, 0.34224082748467211],
    normal: [0.30979585982601437, -1.4593123710698945, -0.66005450902939111, 1.1633483580237929],
    below: [8, 7, 5, 8, 1, 9, 7, 2, 2, 6, 1, 5],
    shuffled: [6, 0, 3, 9, 4, 7, 2, 5, 1, 8],
  },
  {
    at: [4, 'weights', 0],
    bits: [0x117b94de, 0x0354355f, 0x2ff000a6, 0xf49a8ed1, 0x6a54fccf],
    uniform: [0.068291954233544727, 0.18725589824735256, 0.4153593070507523],
    normal: [-0.74000362494823457, -1.6987383033595254, 0.34648539242194826, 1.4748548822858951],
    below: [0, 5, 8, 9, 9, 7, 3, 0, 1, 1, 4, 1],
    shuffled: [9, 4, 5, 3, 2, 1, 8, 6, 7, 0],
  },
  {
    at: [4, 'weights', 1],
    bits: [0x9eee3310, 0x445d33fa, 0x08a435f2, 0x4f422d67, 0x0336a6a6],
    uniform: [0.62082213542122555, 0.033755656869523976, 0.012552657717578852],
    normal: [0.097026746739385716, -0.3744195684166387, -1.16932715135597, -1.5828175506101332],
    below: [8, 2, 2, 3, 4, 5, 5, 1, 2, 4, 4, 6],
    shuffled: [1, 5, 6, 9, 0, 7, 4, 2, 3, 8],
  },
  {
    at: [4, 'shuffle', 0],
    bits: [0x84c96579, 0xb99d835b, 0xb915b5d2, 0x20cdfdec, 0xb9a020b1],
    uniform: [0.51869806501200877, 0.72298752193528759, 0.72509960500012849],
    normal: [0.14984755833847688, 1.7870370907626154, 0.50290331304298674, -0.75686223142550246],
    below: [5, 9, 2, 6, 9, 6, 4, 2, 5, 8, 5, 5],
    shuffled: [8, 4, 6, 7, 1, 9, 3, 2, 0, 5],
  },
  {
    at: [0xffffffff, 'sample', 7],
    bits: [0x444a687a, 0xf8e5f402, 0x2f591577, 0x1ce220b1, 0xfa8f9e0f],
    uniform: [0.26676037790539175, 0.18495306165721859, 0.97875392791606997],
    normal: [-0.58707849479172447, -0.79299254856448742, -0.22158611591654126, -0.40531311896278249],
    below: [8, 8, 1, 3, 1, 2, 0, 3, 8, 6, 5, 8],
    shuffled: [9, 0, 6, 4, 2, 5, 1, 7, 3, 8],
  },
]

t.test('known answers', async (t) => {
  for (const [x, mixed] of MIXED) t.equal(mix32(x), mixed, `mix32(${x})`)
  for (const { at, key, bits } of MASKS) {
    t.equal(maskKey(...at), key, `mask key of ${at}`)
    t.strictSame(
      INDICES.map((index) => maskBits(key, index)),
      bits,
      `mask bits of ${at}`,
    )
  }
  for (const { at, bits, uniform, normal, below, shuffled } of STREAMS) {
    const list = <T>(n: number, draw: (from: ReturnType<typeof random>) => T): T[] => {
      const from = random(...at)
      return Array.from({ length: n }, () => draw(from))
    }
    t.strictSame(
      list(bits.length, (from) => from.bits()),
      bits,
      `bits of ${at}`,
    )
    t.strictSame(
      list(uniform.length, (from) => from.uniform()),
      uniform,
      `uniform of ${at}`,
    )
    t.strictSame(
      list(below.length, (from) => from.below(10)),
      below,
      `below(10) of ${at}`,
    )
    // A logarithm is rounded as the platform likes.
    const normals = list(normal.length, (from) => from.normal())
    t.ok(
      normals.every((z, i) => Math.abs(z - normal[i]) <= 1e-15 * Math.abs(normal[i]) * 4),
      `normal of ${at}`,
    )
    t.strictSame([...shuffle(countTo(10), random(...at))], shuffled, `shuffle of ${at}`)
  }
})

// ---------------------------------------------------------------------------------------------------- looks

/** χ² of counts that ought to be equal, as standard deviations from its mean (Wilson & Hilferty 1931). */
function surprise(counts: ArrayLike<number>): number {
  const k = counts.length - 1
  const total = Array.from(counts).reduce((a, b) => a + b)
  const expected = total / counts.length
  const square = Array.from(counts).reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  return (Math.cbrt(square / k) - (1 - 2 / (9 * k))) / Math.sqrt(2 / (9 * k))
}

/** Seeds are fixed, so this is no chance of failing: it is how far from the expected a good generator may look. */
const SURPRISING = 4

/** Counts of `n` draws of integers below `cells`. */
function countOf(n: number, cells: number, draw: (i: number) => number): Uint32Array {
  const counts = new Uint32Array(cells)
  for (let i = 0; i < n; i++) counts[draw(i)] += 1
  return counts
}

t.test('a stream is uniform: high bits, low bits, pairs, small ranges', async (t) => {
  const from = random(1, 'sample')
  const n = 200_000
  const looks: { readonly [what: string]: Uint32Array } = {
    'high bits': countOf(n, 256, () => from.bits() >>> 24),
    'low bits': countOf(n, 256, () => from.bits() & 255),
    pairs: countOf(n, 256, () => (from.bits() >>> 28) * 16 + (from.bits() >>> 28)),
    uniform: countOf(n, 1000, () => Math.floor(from.uniform() * 1000)),
    'below(7)': countOf(n, 7, () => from.below(7)),
  }
  for (const [what, counts] of Object.entries(looks)) t.ok(Math.abs(surprise(counts)) < SURPRISING, what)
})

t.test('below(n) has no bias where 2³² mod n is largest', async (t) => {
  // A modulus alone would give the lower half of this range twice as often: 2³² = 1.5·n + n/2.
  const n = Math.floor(2 ** 32 / 1.5)
  const from = random(2, 'sample')
  const counts = countOf(50_000, 8, () => Math.floor((from.below(n) / n) * 8))
  t.ok(Math.abs(surprise(counts)) < SURPRISING, `${counts}`)
  t.equal(random(1, 'sample').below(1), 0)
})

t.test('normal numbers have the moments of normal numbers', async (t) => {
  const from = random(3, 'sample')
  const n = 200_000
  const z = Float64Array.from({ length: n }, () => from.normal())
  const moment = (k: number): number => z.reduce((sum, v) => sum + v ** k, 0) / n
  for (const [k, expected, variance] of [
    [1, 0, 1],
    [2, 1, 2],
    [3, 0, 15],
    [4, 3, 96],
  ])
    t.ok(Math.abs(moment(k) - expected) < SURPRISING * Math.sqrt(variance / n), `moment ${k}: ${moment(k)}`)
})

t.test('mask bits are uniform along a mask, from step to step, and from layer to layer', async (t) => {
  const n = 100_000
  const top = (bits: number): number => bits >>> 24
  const looks: { readonly [what: string]: (i: number) => number } = {
    elements: (i) => maskBits(maskKey(4, 1, 0), i),
    steps: (i) => maskBits(maskKey(4, 1, i), 0),
    layers: (i) => maskBits(maskKey(4, i, 0), 0),
    seeds: (i) => maskBits(maskKey(i, 0, 0), 0),
  }
  for (const [what, bits] of Object.entries(looks))
    t.ok(Math.abs(surprise(countOf(n, 256, (i) => top(bits(i))))) < SURPRISING, what)
  // Neighbours are independent: pairs of 4 bits fill their square.
  const key = maskKey(4, 1, 0)
  const pairs = countOf(n, 256, (i) => (maskBits(key, i) >>> 28) * 16 + (maskBits(key, i + 1) >>> 28))
  t.ok(Math.abs(surprise(pairs)) < SURPRISING, 'neighbours')
})

t.test('shuffles are permutations, every order as likely', async (t) => {
  const from = random(5, 'shuffle')
  for (const n of [0, 1, 2, 3, 31, 1000]) {
    const sorted = shuffle(countTo(n), from).sort()
    t.strictSame(sorted, countTo(n), `of ${n}`)
  }
  const orders = countOf(24_000, 24, () => {
    const [a, b, c] = shuffle(countTo(4), from)
    const rank = (value: number, ...before: number[]): number => value - before.filter((other) => other < value).length
    return a * 6 + rank(b, a) * 2 + rank(c, a, b)
  })
  t.ok(Math.abs(surprise(orders)) < SURPRISING, `orders of four: ${orders}`)
})

// ---------------------------------------------------------------------------------------------------- independence

t.test('labels, parts and seeds give streams of their own', async (t) => {
  const labels = ['weights', 'shuffle', 'split', 'masks', 'sample'] as const
  const streams = [0, 1, 2 ** 32 - 1].flatMap((seed) =>
    labels.flatMap((label) => [0, 1, 2].map((part) => random(seed, label, part))),
  )
  const firsts = streams.map((from) => `${from.bits()} ${from.bits()}`)
  t.equal(new Set(firsts).size, streams.length)
  const counts = countOf(100_000, 256, (part) => random(4, 'shuffle', part).bits() >>> 24)
  t.ok(Math.abs(surprise(counts)) < SURPRISING, 'first numbers of neighbouring parts')
})

t.test('a drawn seed is an integer in [0, 2³²)', async (t) => {
  const seeds = Array.from({ length: 1000 }, drawSeed)
  t.ok(seeds.every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
  t.ok(new Set(seeds).size > 990)
})
