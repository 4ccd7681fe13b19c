// Splits: sizes, seeds and shares. Properties first, then the cases whose answer can be said aloud.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { splitRows } from '../dist/data/split'
import { DownhillError } from '../dist/errors'

const shares = fc.double({ min: 0.001, max: 0.999, noNaN: true })
const seeds = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const labels = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 2, maxLength: 300 })

const countOf = (rows: Uint32Array, classes: Uint32Array, k: number): number =>
  rows.reduce((count, row) => count + (classes[row] === k ? 1 : 0), 0)

const ascending = (a: number, b: number): number => a - b

t.test('every row is on exactly one side, both ascending, none empty, of the rounded size', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 500 }), shares, seeds, (rows, share, seed) => {
      const { train, validation } = splitRows(rows, share, { seed })
      assert.deepEqual(
        [...train, ...validation].sort(ascending),
        Array.from({ length: rows }, (_, i) => i),
      )
      assert.deepEqual(train, train.slice().sort(ascending))
      assert.deepEqual(validation, validation.slice().sort(ascending))
      assert.equal(validation.length, Math.min(rows - 1, Math.max(1, Math.round(rows * share))))
    }),
    { numRuns: 500 },
  )
})

t.test('classes keep their share to within one row, and always train', async () => {
  fc.assert(
    fc.property(labels, shares, seeds, (list, share, seed) => {
      const classes = Uint32Array.from(list)
      const { train, validation } = splitRows(classes.length, share, { seed, classes })
      assert.ok(validation.length > 0 && train.length > 0)
      const counts = Array.from({ length: 7 }, (_, k) =>
        countOf(
          classes.map((_, i) => i),
          classes,
          k,
        ),
      )
      const sharing = counts.filter((count) => count > 1)
      const wanted = Math.min(classes.length - 1, Math.max(1, Math.round(classes.length * share)))
      const needed = sharing.reduce((sum, count) => sum + Math.max(1, Math.floor(count * share)), 0)
      for (const [k, count] of counts.entries()) {
        const held = countOf(validation, classes, k)
        assert.ok(count < 2 || Math.abs(held - count * share) < 1, `class ${k}: ${held} of ${count}`)
        assert.ok(count < 2 || held < count, `class ${k} never trains`)
        assert.ok(count < 2 || needed > wanted || held > 0, `class ${k} is never held out`)
        assert.ok(count !== 1 || held === 0 || sharing.length === 0, `the only row of class ${k} is held out`)
      }
    }),
    { numRuns: 2000 },
  )
})

t.test('one seed, one split; another seed, another', async (t) => {
  const classes = Uint32Array.from({ length: 200 }, (_, i) => i % 3)
  t.same(splitRows(200, 0.2, { seed: 4, classes }), splitRows(200, 0.2, { seed: 4, classes }))
  t.notSame(splitRows(200, 0.2, { seed: 4, classes }), splitRows(200, 0.2, { seed: 5, classes }))
  t.notSame(
    splitRows(200, 0.2, { seed: 4 }).validation,
    Uint32Array.from({ length: 40 }, (_, i) => 160 + i),
    'no tail',
  )
})

t.test('the breast-cancer shares: a fifth of 212 and 357 is 42.4 and 71.4, and 114 in all', async (t) => {
  const classes = Uint32Array.from({ length: 569 }, (_, i) => (i < 212 ? 0 : 1))
  const { validation } = splitRows(569, 0.2, { seed: 1, classes })
  t.same([validation.length, countOf(validation, classes, 0), countOf(validation, classes, 1)], [114, 43, 71])
})

t.test('a row left over goes to the class with the largest part left over', async (t) => {
  const classes = Uint32Array.from({ length: 13 }, (_, i) => (i < 4 ? 0 : 1)) // 30 % are 1.2 and 2.7, and 4 in all
  const { validation } = splitRows(13, 0.3, { seed: 1, classes })
  t.same([countOf(validation, classes, 0), countOf(validation, classes, 1)], [1, 3])
})

t.test('single rows of a class train; if there is nothing else, one is held out', async (t) => {
  const rare = Uint32Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
  for (let seed = 0; seed < 20; seed++) t.notOk(splitRows(10, 0.5, { seed, classes: rare }).validation.includes(9))
  const single = splitRows(3, 0.5, { seed: 1, classes: Uint32Array.from([0, 1, 2]) })
  t.same([single.train.length, single.validation.length], [2, 1])
})

t.test('what is no share, and too few rows', async (t) => {
  for (const share of [0, 1, -0.1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '0.2', null, undefined, true, 10])
    t.throws(
      () => splitRows(10, share as number, { seed: 1 }),
      { code: 'ERR_OPTION', message: /^Expected a share between 0 and 1/ },
      `${share}`,
    )
  t.throws(() => splitRows(1, 0.5, { seed: 1 }), { code: 'ERR_SHAPE' })
  try {
    splitRows(1, 0.5, { seed: 1 })
  } catch (error) {
    t.ok(error instanceof DownhillError)
  }
})
