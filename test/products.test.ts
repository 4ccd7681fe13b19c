/**
 * The products of the specification are what they say, bit for bit: a chain over k from the last term to the first, in
 * double, rounded to the type once per 256 terms. Shapes lie on both sides of every block border.
 */
import t from 'tap'
import { affine, affineGradInput, affineGradWeights } from '../dist/backends/products'
import { scatter } from './cases'

type Floats = Float32Array | Float64Array
type Kind = typeof Float32Array | typeof Float64Array

const BLOCK = 256

/** start + Σ a(k)·b(k) as promised. */
function chain(kind: Kind, start: number, K: number, a: (k: number) => number, b: (k: number) => number): number {
  let sum = start
  for (let k = K - 1; k >= 0; k--) {
    sum += a(k) * b(k)
    if ((K - k) % BLOCK === 0) sum = kind.of(sum)[0]
  }
  return kind.of(sum)[0]
}

/** Entries of all sizes, among them −0, Infinity and NaN where asked for. */
function entries(kind: Kind, n: number, seed: number, wild: boolean): Floats {
  const values = kind.from(scatter(n, seed, 0))
  if (wild) for (const [i, v] of [-0, Number.POSITIVE_INFINITY, Number.NaN].entries()) values[(i * 7 + seed) % n] = v
  return values
}

/** Index of the first entry that is not the same to the bit; −1 if all are. */
const firstOther = (found: Floats, expected: (i: number) => number): number =>
  found.findIndex((value, i) => !Object.is(value, expected(i)))

// B, I, O
const SHAPES = [
  [1, 1, 1],
  [4, 2, 8],
  [7, 9, 12],
  [8, 8, 8],
  [9, 11, 10],
  [13, 257, 9],
  [12, 9, 129],
  [261, 17, 131],
  [10, 515, 140],
  [2, 300, 5],
] as const

for (const kind of [Float32Array, Float64Array] as const)
  for (const [B, I, O] of SHAPES)
    t.test(`${kind.name}, ${B} rows, ${I} × ${O}`, async (t) => {
      for (const wild of [false, true]) {
        const [x, W, b, dy] = [B * I, I * O, O, B * O].map((n, i) => entries(kind, n, i + 1, wild))
        const [y, dW, db, dx] = [B * O, I * O, O, B * I].map((n) => new kind(n).fill(-0))
        const name = wild ? ' with NaN, Infinity and −0' : ''

        affine(x, W, b, y, B, I, O)
        const forward = (i: number): number => {
          const [r, o] = [Math.floor(i / O), i % O]
          return chain(
            kind,
            b[o],
            I,
            (k) => x[r * I + k],
            (k) => W[k * O + o],
          )
        }
        t.equal(firstOther(y, forward), -1, `y${name}`)

        const weights = (start: (i: number) => number) => (i: number) =>
          chain(
            kind,
            start(i),
            B,
            (k) => x[k * I + Math.floor(i / O)],
            (k) => dy[k * O + (i % O)],
          )
        affineGradWeights(x, dy, dW, db, B, I, O, false)
        t.equal(
          firstOther(
            dW,
            weights(() => 0),
          ),
          -1,
          `dW${name}`,
        )
        const before = dW.slice()
        affineGradWeights(x, dy, dW, null, B, I, O, true)
        t.equal(
          firstOther(
            dW,
            weights((i) => before[i]),
          ),
          -1,
          `dW of a second chunk${name}`,
        )

        affineGradInput(dy, W, dx, B, I, O, false)
        const input = (i: number): number =>
          chain(
            kind,
            0,
            O,
            (k) => dy[Math.floor(i / I) * O + k],
            (k) => W[(i % I) * O + k],
          )
        t.equal(firstOther(dx, input), -1, `dx${name}`)
      }
    })

t.test('a sum of nothing but −0 stays −0, also where a group of terms is filled up', async (t) => {
  for (const I of [8, 9, 11]) {
    const y = new Float32Array(81)
    affine(new Float32Array(9 * I), new Float32Array(I * 9).fill(-1), new Float32Array(9).fill(-0), y, 9, I, 9)
    t.ok(
      y.every((value) => Object.is(value, -0)),
      `${I} terms`,
    )
  }
})
