/**
 * The ledger: terms that add up to the change, each held to the same number by another way. Gradients and losses come
 * from the public API at the weights before and after each step, curvature from differences of gradients, the bending
 * from the integral that it is.
 */

import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  adam,
  adamw,
  constant,
  type DownhillError,
  dense,
  dropout,
  explainRises,
  type FitOptions,
  FNN,
  type History,
  type LayerSpec,
  rmsprop,
  sgd,
} from 'downhill'
import t, { type Test } from 'tap'
import { Curvature } from '../dist/doctor/curvature'
import { readLoss } from '../dist/losses'
import { Network } from '../dist/network'
import {
  agree,
  FLOAT64,
  flat,
  goldenStart,
  onEachBackend,
  readBreastCancer,
  standardised,
  type TestBackend,
} from './truth'

type Weights = ReturnType<FNN['weights']>
type Entry = NonNullable<History['ledger']>[number]

// ---------------------------------------------------------------------------------------------------- something to train

/** Two noisy rings, 97 rows: batches of 20 leave 17. */
const ROWS = 97
const x = Array.from({ length: ROWS }, (_, i) => [
  (1 + (i % 2)) * Math.cos(2.4 * i) + 0.1 * Math.sin(i * i),
  (1 + (i % 2)) * Math.sin(2.4 * i) + 0.1 * Math.cos(i * i),
])
const y = Array.from({ length: ROWS }, (_, i) => i % 2)
const PLAIN = [dense(7, 'tanh'), dense(1, 'sigmoid')]
const DROPPED = [dense(7, 'tanh'), dropout(0.3), dense(1, 'sigmoid')]

interface Program {
  readonly layers: readonly LayerSpec[]
  readonly l2?: number
  readonly fit: FitOptions
}

/** Optimizers with full batches and small ones, masks, a penalty. */
const PROGRAMS: { readonly [name: string]: Program } = {
  sgd: { layers: PLAIN, fit: { learningRate: 0.5 } },
  'sgd, l2': { layers: PLAIN, l2: 0.05, fit: { learningRate: 0.5 } },
  momentum: { layers: PLAIN, fit: { optimizer: sgd({ momentum: 0.9 }), learningRate: 0.3 } },
  'nesterov, coupled decay': {
    layers: PLAIN,
    l2: 0.01,
    fit: { optimizer: sgd({ momentum: 0.8, nesterov: true, weightDecay: 0.1 }), learningRate: 0.3 },
  },
  adam: { layers: PLAIN, fit: { optimizer: adam(), learningRate: 0.05 } },
  'adamw, l2': { layers: PLAIN, l2: 0.02, fit: { optimizer: adamw({ weightDecay: 0.2 }), learningRate: 0.05 } },
  'rmsprop, coupled decay': {
    layers: PLAIN,
    fit: { optimizer: rmsprop({ decay: 0.9, weightDecay: 0.1 }), learningRate: 0.01 },
  },
  amsgrad: { layers: PLAIN, fit: { optimizer: 'amsgrad', learningRate: 0.05 } },
  'adagrad, l2': { layers: PLAIN, l2: 0.02, fit: { optimizer: 'adagrad', learningRate: 0.05 } },
  nadam: { layers: PLAIN, fit: { optimizer: 'nadam', learningRate: 0.05 } },
  'sgd, batches': { layers: PLAIN, fit: { batchSize: 20, learningRate: 0.5 } },
  'momentum, batches, l2': {
    layers: PLAIN,
    l2: 0.01,
    fit: { batchSize: 20, optimizer: sgd({ momentum: 0.9 }), learningRate: 0.1 },
  },
  'sgd, dropout': { layers: DROPPED, fit: { learningRate: 0.5 } },
  'adam, dropout, batches, l2': {
    layers: DROPPED,
    l2: 0.01,
    fit: { batchSize: 20, optimizer: 'adam', learningRate: 0.05 },
  },
  'lion, batches': { layers: PLAIN, fit: { batchSize: 20, optimizer: 'lion', learningRate: 0.01 } },
  'momentum, clipped, dropout, batches': {
    layers: DROPPED,
    fit: { batchSize: 20, optimizer: sgd({ momentum: 0.9 }), learningRate: 0.3, clipNorm: 0.15, clipValue: 0.05 },
  },
  'adam, clipped, a rate for each step': {
    layers: PLAIN,
    fit: { batchSize: 20, optimizer: 'adam', clipNorm: 0.1, learningRate: (step) => 0.05 / (1 + step) },
  },
  'a rate for each step': { layers: PLAIN, fit: { learningRate: (step) => 0.5 / (1 + step) } },
  'rmsprop, batches': { layers: PLAIN, fit: { batchSize: 20, optimizer: 'rmsprop', learningRate: 0.01 } },
}

const makeNet = ({ layers, l2 = 0 }: Program, { options }: TestBackend): FNN =>
  new FNN({ inputs: 2, layers: [...layers], l2, task: 'binary', seed: 4, ...options })

/** A run, and the weights before each step and after the last. */
function train(program: Program, backend: TestBackend, fit: FitOptions): { history: History; weights: Weights[] } {
  const net = makeNet(program, backend)
  const weights = [net.weights()]
  const callbacks = { onBatchEnd: () => void weights.push(net.weights()) }
  return { history: net.fitSync(x, y, { ...program.fit, callbacks, ...fit }), weights }
}

/** The objective and its gradient at given weights, from the public API: the loss and ½λΣw². */
function objective(program: Program, backend: TestBackend, weights: Weights) {
  const net = makeNet(program, backend)
  net.setWeights(weights)
  const { l2: lambda = 0 } = program
  const { loss, layers } = net.gradients(x, y)
  const [g, w] = [flat(layers), flat(weights)]
  const isWeight = weights.flatMap(({ weights, bias }) => [
    ...Array.from(weights.data, () => 1),
    ...Array.from(bias ?? [], () => 0),
  ])
  const squares = w.reduce((sum, v, i) => sum + isWeight[i] * v * v, 0)
  return { loss: loss + 0.5 * lambda * squares, data: loss, gradient: g.map((v, i) => v + lambda * isWeight[i] * w[i]) }
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, v, i) => sum + v * b[i], 0)
const sizes = (a: ArrayLike<number>): number[] => Array.from(a, Math.abs)
const minus = (a: readonly number[], b: readonly number[]): number[] => a.map((v, i) => v - b[i])
const termsOf = ({ terms }: Entry): number[] => Object.values(terms)
const slopeOf = ({ terms: { bending: _, ...slopes } }: Entry): number[] => Object.values(slopes)
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

/** That the terms add up, to a few roundings of the largest. */
function addsUp(t: Test, entries: readonly Entry[], what: string): void {
  const worst = entries.map((entry) => {
    const size = Math.max(...sizes([entry.before, entry.after, ...termsOf(entry)]))
    const off = Math.abs(entry.change - sum(termsOf(entry))) + Math.abs(entry.change - entry.after + entry.before)
    return (off + Math.abs(entry.change - entry.parts.data - entry.parts.penalty)) / size
  })
  t.ok(entries.length > 0 && worst.every((share) => share <= 1e-15 * 8), `${what}: terms add up`)
}

// ---------------------------------------------------------------------------------------------------- the terms

t.test('the terms add up to the change, and the slope is gᵀΔθ', (t) =>
  onEachBackend(t, (t, backend) => {
    const u = backend.dtype === 'float64' ? 2 ** -53 : 2 ** -24
    for (const [name, program] of Object.entries(PROGRAMS))
      for (const ledger of [true, 'all'] as const) {
        const isWhole = program.fit.batchSize === undefined && program.layers === PLAIN
        if (ledger === true && !isWhole) continue
        const what = `${name}, ${ledger}`
        const { history, weights } = train(program, backend, { ledger, epochs: isWhole ? 9 : 3 })
        const entries = history.ledger ?? []
        t.equal(entries.length, history.steps, `${what}: every step`)
        addsUp(t, entries, what)
        const shares = { change: 0, slope: 0 }
        for (const entry of entries) {
          const { step } = entry
          const [w, moved] = [flat(weights[step]), flat(weights[step + 1])]
          const [from, to] = [step, step + 1].map((i) => objective(program, backend, weights[i]))
          const way = minus(moved, w)
          // The loss is right to eight roundings of its terms; the new weights are rounded, and the sums of the terms.
          const off = Math.abs(entry.before - from.loss) + Math.abs(entry.after - to.loss)
          shares.change = Math.max(shares.change, off / (16 * u * (from.loss + to.loss)))
          const allowed =
            2 * u * dot(sizes(from.gradient), sizes(moved)) +
            64 * u * (sum(sizes(slopeOf(entry))) + dot(sizes(from.gradient), sizes(way)))
          shares.slope = Math.max(shares.slope, Math.abs(sum(slopeOf(entry)) - dot(from.gradient, way)) / allowed)
          const penalty = to.loss - to.data - from.loss + from.data
          t.ok(Math.abs(entry.parts.penalty - penalty) <= 16 * u * (from.loss + to.loss), `${what}: penalty's part`)
        }
        t.ok(shares.change <= 1, `${what}: before and after, ${shares.change.toPrecision(2)} of what is allowed`)
        t.ok(shares.slope <= 1, `${what}: first order, ${shares.slope.toPrecision(2)} of what is allowed`)
      }
    t.end()
  }),
)

t.test('in float64 the first order is the dot product to 1e-12', async (t) => {
  for (const [name, program] of Object.entries(PROGRAMS)) {
    const { history, weights } = train(program, FLOAT64, { ledger: 'all', epochs: 3 })
    let worst = 0
    for (const entry of history.ledger ?? []) {
      const way = minus(flat(weights[entry.step + 1]), flat(weights[entry.step]))
      const { gradient } = objective(program, FLOAT64, weights[entry.step])
      const size = dot(sizes(gradient), sizes(way))
      const off = Math.abs(sum(slopeOf(entry)) - dot(gradient, way))
      worst = Math.max(worst, off / size)
    }
    t.ok(worst <= 1e-12, `${name}: ${worst.toExponential(1)} of Σ|g|·|Δθ|`)
  }
})

t.test('each term is what its name says: momentum, masks, batches of the given order, a penalty', async (t) => {
  const program = { layers: DROPPED, l2: 0.02, fit: { batchSize: 20, shuffle: false, learningRate: 0.2 } }
  const optimizer = sgd({ momentum: 0.8, weightDecay: 0.1 })
  const { history, weights } = train(program, FLOAT64, { ledger: 'all', epochs: 2, optimizer })
  let m = flat(weights[0]).map(() => 0)
  for (const { step, terms, epoch, rows } of history.ledger ?? []) {
    t.equal(epoch, 1 + Math.floor(step / 5))
    t.equal(rows, ROWS)
    const w = flat(weights[step])
    const g = objective(program, FLOAT64, weights[step]).gradient
    const net = makeNet(program, FLOAT64)
    net.setWeights(weights[step])
    const from = 20 * (step % 5)
    const plain = flat(net.gradients(x.slice(from, from + 20), y.slice(from, from + 20)).layers)
    const penalty = minus(g, flat(net.gradients(x, y).layers))
    const batch = plain.map((v, i) => v + penalty[i])
    // θ' = θ − η(0.8·m + ĝ + 0.1·θ)
    const moved = minus(w, flat(weights[step + 1])).map((v) => v / 0.2)
    const used = moved.map((v, i) => v - 0.8 * m[i] - 0.1 * w[i])
    const expected = {
      descent: -0.2 * dot(g, g),
      noise: -0.2 * dot(g, minus(batch, g)),
      dropout: -0.2 * dot(g, minus(used, batch)),
      momentum: -0.2 * 0.8 * dot(g, m),
      decay: -0.2 * 0.1 * dot(g, w),
    }
    for (const [name, value] of Object.entries(expected))
      agree(t, [terms[name as keyof typeof expected]], [value], { absolute: 1e-12 }, `step ${step}: ${name}`)
    t.equal(terms.clipping, 0)
    m = moved
  }
})

// ---------------------------------------------------------------------------------------------------- a closer look

/** A small net for integrals and dense Hessians. */
const SMALL: Program = { layers: [dense(4, 'tanh'), dense(1, 'sigmoid')], l2: 0.03, fit: { learningRate: 3 } }

t.test('bending is the integral of the Hessian along the step', async (t) => {
  const { history, weights } = train(SMALL, FLOAT64, { ledger: true, epochs: 6 })
  const model = { inputs: 2, layers: [...SMALL.layers], initializer: { kind: 'glorotUniform' } as const, l2: 0.03 }
  const loss = readLoss('binaryCrossEntropy')
  const network = new Network({ model, loss, dtype: 'float64', backend: 'typescript', threads: 1 }, 1, 1)
  const table = {
    rows: ROWS,
    columns: 2,
    x: Float64Array.from(x.flat()),
    scale: 1,
    targets: 1,
    y: Float64Array.from(y),
  }
  const curvature = new Curvature(network, table)
  for (const { step, terms } of history.ledger ?? []) {
    const w = flat(weights[step])
    const way = Float64Array.from(minus(flat(weights[step + 1]), w))
    // Simpson's rule: smooth along so short a way.
    const n = 128
    let integral = 0
    for (let i = 0; i <= n; i++) {
      const s = i / n
      await curvature.look(Float64Array.from(w, (v, j) => v + s * way[j]))
      const weight = i === 0 || i === n ? 1 : i % 2 ? 4 : 2
      integral += (weight / (3 * n)) * (1 - s) * dot(way, await curvature.product(way))
    }
    agree(t, [terms.bending], [integral], { relative: 1e-6, absolute: 1e-9 }, `step ${step}`)
  }
  curvature.close()
})

t.test('local: half of ΔθᵀHΔθ with a dense Hessian from differences, and the rest of the bending', async (t) => {
  const { history, weights } = train(SMALL, FLOAT64, { ledger: 'all', epochs: 6 })
  for (const { step, local, terms } of history.ledger ?? []) {
    const way = minus(flat(weights[step + 1]), flat(weights[step]))
    let bend = 0
    for (const [i, d] of way.entries()) {
      const at = (shift: number) => {
        const layers = weights[step].map(({ weights, bias }) => ({
          weights: { ...weights, data: Float64Array.from(weights.data) },
          bias: bias && Float64Array.from(bias),
        }))
        let from = i
        for (const { weights, bias } of layers)
          for (const part of [weights.data, bias ?? []]) {
            if (from >= 0 && from < part.length) part[from] += shift
            from -= part.length
          }
        return objective(SMALL, FLOAT64, layers).gradient
      }
      bend += (d * dot(way, minus(at(1e-5), at(-1e-5)))) / 2e-5
    }
    agree(t, [local?.curvature ?? Number.NaN], [0.5 * bend], { relative: 1e-6, absolute: 1e-9 }, `step ${step}`)
    agree(t, [(local?.curvature ?? 0) + (local?.beyond ?? 0)], [terms.bending], { absolute: 1e-12 }, 'the sum')
  }
})

t.test('bestFraction is where a fine scan finds the lowest objective on the way', (t) =>
  onEachBackend(t, (t, backend) => {
    for (const learningRate of [0.1, 3, 30]) {
      const { history, weights } = train(SMALL, backend, { ledger: 'all', epochs: 6, learningRate })
      for (const { step, before, after, bestFraction } of history.ledger ?? []) {
        const along = (s: number): number => {
          const between = weights[step].map(({ weights: { data, ...size }, bias }, l) => {
            const to = weights[step + 1][l]
            const mix = (a: ArrayLike<number>, b: ArrayLike<number>) =>
              Float64Array.from(a, (v, i) => v + s * (b[i] - v))
            return { weights: { ...size, data: mix(data, to.weights.data) }, bias: bias && mix(bias, to.bias ?? []) }
          })
          return objective(SMALL, backend, between).loss
        }
        const scan = Array.from({ length: 201 }, (_, i) => along(i / 200))
        const [lowest, highest] = [Math.min(...scan), Math.max(before, after)]
        const ours = bestFraction === null ? Number.NaN : along(bestFraction)
        const what = `rate ${learningRate}, step ${step}: ${bestFraction} for ${scan.indexOf(lowest) / 200}`
        t.ok(ours - lowest <= 0.01 * (highest - lowest) + 1e-6 * lowest, what)
      }
    }
    t.end()
  }),
)

t.test("the asker's start, standardised, rate 1: the rise of step 8", async (t) => {
  const cancer = readBreastCancer()
  const net = new FNN({ inputs: 30, outputs: 1, task: 'binary', ...FLOAT64.options })
  net.setWeights(goldenStart('asker'))
  const { ledger } = await net.fit(standardised(cancer.x), cancer.y, { epochs: 10, learningRate: 1, ledger: 'all' })
  const { change, terms, local } = (ledger ?? [])[8]
  const parts = [change, terms.descent, local?.curvature ?? 0, local?.beyond ?? 0]
  agree(t, parts, [1.58, -0.31, 0.05, 1.84], { absolute: 0.005 }, 'ΔL = slope + local curvature + the rest')
})

// ---------------------------------------------------------------------------------------------------- the run

const weightsOf = (net: FNN): number[] => flat(net.weights())
const same = (a: ArrayLike<number>, b: ArrayLike<number>): boolean =>
  a.length === b.length && Array.from(a).every((v, i) => Object.is(v, b[i]))

t.test('with a ledger or without, on whichever thread: the same bits', (t) =>
  onEachBackend(t, async (t, backend) => {
    for (const [name, program] of Object.entries(PROGRAMS)) {
      const bare = makeNet(program, backend)
      const { loss, gradientNorm } = bare.fitSync(x, y, { ...program.fit, epochs: 8 })
      for (const ledger of [true, 'all'] as const)
        for (const call of ['fit', 'fitSync', 'partialFit'] as const) {
          const net = makeNet(program, backend)
          const history = await net[call](x, y, { ...program.fit, epochs: 8, ledger })
          t.ok(same(history.loss, loss) && same(history.gradientNorm, gradientNorm), `${name}, ${call}: losses`)
          t.ok(same(weightsOf(net), weightsOf(bare)), `${name}, ${call}: weights`)
          const entries = history.ledger ?? []
          addsUp(t, entries, `${name}, ${call}, ${ledger}`)
          t.equal(entries.length + (history.ledgerNotes?.unrecorded ?? 0), history.steps)
        }
    }
  }),
)

t.test('a partialFit that goes on: the same entries as of one run', (t) =>
  onEachBackend(t, async (t, backend) => {
    for (const name of ['adamw, l2', 'adam, dropout, batches, l2']) {
      const program = PROGRAMS[name]
      const fit = { ...program.fit, ledger: 'all' } as const
      const [whole, parts] = [makeNet(program, backend), makeNet(program, backend)]
      const { ledger } = await whole.partialFit(x, y, { ...fit, epochs: 4 })
      await parts.partialFit(x, y, { ...fit, epochs: 3 })
      const { ledger: last } = await parts.partialFit(x, y, { ...fit, epochs: 1 })
      const terms = (entries: readonly Entry[]) => entries.map(({ change, terms }) => ({ change, terms }))
      t.same(terms(last ?? []), terms(ledger ?? []).slice(-(last?.length ?? 0)), name)
    }
  }),
)

t.test('stopped, aborted or diverged: what was made is in the ledger', (t) =>
  onEachBackend(t, async (t, backend) => {
    for (const name of ['sgd', 'adam', 'adam, dropout, batches, l2'])
      for (const ledger of [true, 'all'] as const) {
        const program = PROGRAMS[name]
        const net = makeNet(program, backend)
        const run = net.fit(x, y, { ...program.fit, epochs: 1e6, ledger })
        for await (const { epoch } of run) if (epoch >= (ledger === true ? 1000 : 10)) run.stop()
        const { status, steps, ledger: entries, ledgerNotes } = await run
        t.equal(status, 'stopped')
        addsUp(t, entries ?? [], `${name}, ${ledger}, stopped`)
        t.equal((entries?.length ?? 0) + (ledgerNotes?.unrecorded ?? 0), steps)
        if (name !== 'adam, dropout, batches, l2') t.equal(entries?.length, steps, 'all that was made')
      }
    const abort = new AbortController()
    const aborted = makeNet(PROGRAMS.sgd, backend).fit(x, y, { epochs: 1e6, ledger: true, signal: abort.signal })
    const read = async () => {
      for await (const { epoch } of aborted) if (epoch >= 20) abort.abort()
    }
    await read().then(
      () => t.fail('nothing was thrown'),
      (error) => {
        const { history } = error as DownhillError & { history: History }
        addsUp(t, history.ledger ?? [], 'aborted')
      },
    )

    const net = new FNN({
      inputs: 1,
      layers: [dense(1, 'linear', { initializer: constant(2), bias: false })],
      loss: 'mse',
      ...backend.options,
    })
    const { status, steps, loss, ledger, ledgerNotes } = net.fitSync([1], [0], {
      epochs: 5000,
      learningRate: 1e3,
      ledger: true,
    })
    t.equal(status, 'diverged')
    t.equal(ledger?.length, steps)
    addsUp(t, (ledger ?? []).slice(0, -1), 'diverged')
    t.equal(ledger?.at(-1)?.after, loss.at(-1), 'the last one shows where it led')
    t.equal(ledgerNotes?.rises, steps)
  }),
)

t.test('no ledger unless asked for; plain in JSON', async (t) => {
  const net = makeNet(PROGRAMS.adam, FLOAT64)
  const bare = net.fitSync(x, y, { epochs: 2 })
  t.equal(bare.ledger, null)
  t.equal(bare.ledgerNotes, null)
  const kept = net.fitSync(x, y, { epochs: 2, ledger: 'all' })
  const back = JSON.parse(JSON.stringify(kept))
  t.same(back.ledger, kept.ledger)
  t.same(back.ledgerNotes, kept.ledgerNotes)
  t.match(net.explain({ optimizer: 'adam', ledger: true }), /account/)
  t.notMatch(net.explain({ optimizer: 'adam' }), /account/)
})

t.test('of many rows a sample is taken, as large as the run can pay for, and of many steps a few', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const many = Array.from({ length: 3000 }, (_, i) => [Math.sin(i), Math.cos(3 * i)])
    const labels = many.map(([a, b]) => Number(a > b))
    const net = new FNN({ inputs: 2, layers: [...PLAIN], task: 'binary', seed: 1, ...options })
    for (const [epochs, sample] of [
      [3, 128],
      [60, 1024],
    ]) {
      const { ledger, ledgerNotes, steps } = await net.fit(many, labels, { epochs, batchSize: 100, ledger: true })
      t.ok(ledger && ledger.length >= 1 && ledger.length < steps)
      t.ok(ledger?.every(({ rows }) => rows === sample))
      t.equal(ledgerNotes?.unrecorded, steps - (ledger?.length ?? 0))
      addsUp(t, ledger ?? [], 'sampled')
    }
    const whole = await net.fit(many, labels, { epochs: 2, ledger: true })
    t.ok(
      whole.ledger?.every(({ rows }) => rows === 3000),
      'a full batch without dropout is all rows',
    )
  }),
)

// ---------------------------------------------------------------------------------------------------- rises

t.test('looked at closer afterwards, by a replay: the same as at once', (t) =>
  onEachBackend(t, async (t, backend) => {
    // Large rates, so that there are rises; a state that goes on; masks and an order of rows that must be the same again.
    const programs: Program[] = [
      { layers: PLAIN, fit: { learningRate: 30 } },
      { layers: PLAIN, fit: { optimizer: adam({ beta1: 0.5 }), learningRate: 1 } },
      { layers: DROPPED, l2: 0.01, fit: { batchSize: 20, optimizer: sgd({ momentum: 0.9 }), learningRate: 2 } },
    ]
    for (const program of programs) {
      const [once, later] = [makeNet(program, backend), makeNet(program, backend)]
      for (const net of [once, later]) await net.partialFit(x, y, { ...program.fit, epochs: 2 })
      const all = await once.partialFit(x, y, { ...program.fit, epochs: 12, ledger: 'all' })
      const kept = await later.partialFit(x, y, { ...program.fit, epochs: 12, ledger: true })
      const before = weightsOf(later)
      const { rises = 0, tolerance = 0 } = kept.ledgerNotes ?? {}
      const seen = await kept.examine(3)
      t.equal(seen.length, Math.min(3, rises))
      t.equal(kept.ledgerNotes?.unexamined, rises - seen.length)
      const largest = (kept.ledger ?? []).filter(({ before, change }) => change > tolerance * before)
      largest.sort((a, b) => b.change - a.change)
      t.same(seen, largest.slice(0, 3), 'the largest first')
      for (const entry of seen) {
        const { local, bestFraction } = (all.ledger ?? [])[entry.step]
        const near = { relative: 1e-9, absolute: 1e-9 * entry.before }
        agree(t, [entry.local?.curvature ?? Number.NaN], [local?.curvature ?? 0], near, `step ${entry.step}`)
        agree(t, [entry.bestFraction ?? Number.NaN], [bestFraction ?? 0], { absolute: 0.01 }, 'the best point')
      }
      await kept.examine(1000)
      t.equal(kept.ledgerNotes?.unexamined, 0)
      t.same(await kept.examine(), [], 'nothing is left')
      t.ok(same(weightsOf(later), before), 'the model is not changed')
      await t.rejects(kept.examine(0), { code: 'ERR_OPTION' })
    }
  }),
)

/** One weight, from `start`; the rows in their order. */
const line = (start: number, model: object = {}): FNN =>
  new FNN({
    inputs: 1,
    layers: [dense(1, 'linear', { initializer: constant(start), bias: false })],
    loss: 'mse',
    ...FLOAT64.options,
    ...model,
  })

t.test('a rise has a cause', async (t) => {
  const ones = Array.from({ length: 10 }, () => 1)
  // w² at too high a rate.
  const [overshoot] = explainRises(line(2).fitSync([1], [0], { epochs: 1, learningRate: 1.25, ledger: 'all' }))
  t.match(overshoot, { step: 0, epoch: 1, cause: 'overshoot', change: 5 })
  t.equal(
    overshoot.says,
    'step 0: +5.00: first order −20.0, bending +25.0; the best point was 0.40 of the way: overshoot, the step was too long for its own direction.',
  )

  // The first row of ten pulls the other way.
  const y = [-9, ...ones.slice(1).map(() => 2)]
  const fit = { epochs: 1, batchSize: 1, shuffle: false, learningRate: 0.01, ledger: 'all' } as const
  const [noise] = explainRises(line(0).fitSync(ones, y, fit))
  t.match(noise, { step: 0, cause: 'noise', says: /noise \+0\.356\).*its batch points uphill/ })

  // Past the lowest point, and still going.
  const optimizer = sgd({ momentum: 0.9 })
  const rolled = explainRises(line(2).fitSync([1], [0], { epochs: 12, learningRate: 0.1, optimizer, ledger: true }))
  t.ok(rolled.filter(({ cause }) => cause === 'momentum').length >= 2)
  t.ok(
    rolled.every(({ cause }) => cause === 'momentum' || cause === 'overshoot'),
    'but for the step across',
  )

  // The data would have w = −100, the penalty 0; the step goes far enough for the one and too far for the other.
  const penalised = line(2, { layers: [dense(1, 'linear', { initializer: constant(2), bias: false, l2: 10 })] })
  const [penalty] = explainRises(penalised.fitSync([0.01], [-1], { epochs: 1, learningRate: 0.21, ledger: true }))
  t.match(penalty, { step: 0, cause: 'penalty', says: /the data's part fell by 0\.0840/ })

  // Masks alone: the loss is lowest, and a step of what is left of the inputs leads away.
  const layers = [dropout(0.5), dense(1, 'linear', { initializer: constant(1), bias: false })]
  const masked = line(1, { layers, seed: 3 })
  const dropped = explainRises(
    masked.fitSync([1, 2, 3], [1, 2, 3.01], { epochs: 3, learningRate: 0.05, ledger: 'all' }),
  )
  t.equal(dropped[0]?.cause, 'dropout')

  const decayed = line(1).fitSync([1], [1.001], {
    epochs: 1,
    learningRate: 0.1,
    optimizer: adamw({ weightDecay: 1 }),
    ledger: true,
  })
  t.equal(explainRises(decayed)[0]?.cause, 'decay')

  t.same(explainRises(JSON.parse(JSON.stringify(decayed))), explainRises(decayed), 'read back from JSON')
  t.same(explainRises(line(2).fitSync([1], [0], { epochs: 5, learningRate: 0.1, ledger: true })), [])
  const bare = line(2).fitSync([1], [0], { epochs: 1 })
  for (const call of [() => explainRises(bare), () => bare.plotLedger()]) t.throws(call, { code: 'ERR_OPTION' })
  await t.rejects(bare.examine(), { code: 'ERR_OPTION', message: /train with ledger: true/ })
})

t.test('the terminal: colour where there is one that wants it', async (t) => {
  const { stdout, env } = process
  const before = { isTTY: stdout.isTTY, columns: stdout.columns, NO_COLOR: env.NO_COLOR, TERM: env.TERM }
  const program = PROGRAMS['momentum, batches, l2']
  const history = makeNet(program, FLOAT64).fitSync(x, y, { ...program.fit, epochs: 40, ledger: 'all' })
  const ESC = String.fromCharCode(27)
  t.teardown(() => {
    Object.assign(stdout, { isTTY: before.isTTY, columns: before.columns })
    for (const key of ['NO_COLOR', 'TERM'] as const)
      if (before[key] === undefined) delete env[key]
      else env[key] = before[key]
  })
  const cases: [boolean, string | undefined, string, boolean][] = [
    [true, undefined, 'xterm', true],
    [true, '', 'xterm', true],
    [true, '1', 'xterm', false],
    [true, undefined, 'dumb', false],
    [false, undefined, 'xterm', false],
  ]
  for (const [isTTY, NO_COLOR, TERM, isColoured] of cases) {
    Object.assign(stdout, { isTTY, columns: 80 })
    Object.assign(env, { TERM })
    if (NO_COLOR === undefined) delete env.NO_COLOR
    else env.NO_COLOR = NO_COLOR
    for (const drawn of [history.plotLedger(), history.plot()]) {
      t.equal(drawn.includes(ESC), isColoured, `${isTTY}, ${NO_COLOR}, ${TERM}`)
      for (const line of drawn.replaceAll(new RegExp(`${ESC}\\[[0-9;]*m`, 'g'), '').split('\n'))
        t.ok([...line].length <= 80, line)
    }
  }
})

t.test('the picture: a bar for each step, its terms on each other, the change as a line', async (t) => {
  const program = PROGRAMS['momentum, batches, l2']
  const history = makeNet(program, FLOAT64).fitSync(x, y, { ...program.fit, epochs: 4, ledger: 'all' })
  const path = join(mkdtempSync(join(tmpdir(), 'downhill-')), 'ledger.svg')
  t.equal(history.plotLedger(path), path)
  const svg = readFileSync(path, 'utf8')
  for (const name of ['descent', 'noise', 'momentum', 'bending', 'change']) t.match(svg, new RegExp(`>${name}</text>`))
  t.notMatch(svg, />dropout</, 'what was never there is not drawn')
  t.match(history.plotLedger(path.replace('.svg', '.html')), /html$/)
  const drawn = history.plotLedger()
  for (const name of ['██ descent', '░░ noise', '▓▓ momentum', '▒▒ bending', '● change']) t.match(drawn, name)
  t.notMatch(drawn, ': dropout')
  for (const line of drawn.split('\n')) t.ok(line.length <= (process.stdout.columns || 80), line)
  t.throws(() => history.plotLedger('ledger.gif'), { code: 'ERR_OPTION' })
})
