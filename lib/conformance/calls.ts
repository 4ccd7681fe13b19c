/**
 * Checks of calls: the same bits again, nothing written that was only to be read, what is refused.
 */
import type { Targets } from '../data/targets'
import type { FNN } from '../fnn'
import { type Check, ofLabels, onTasks } from './check'
import { finite, insist, refuses, rowsOf, same, sameModel, type Trial } from './trial'

/** That the calls leave the weights and the predictions as they were. */
async function leaves(trial: Trial, net: FNN, call: () => unknown, what: string): Promise<void> {
  const [weights, predictions] = [net.weights(), net.predict(trial.x)]
  await call()
  same(net.weights(), weights, `the weights after ${what}`)
  same(net.predict(trial.x), predictions, `the predictions after ${what}`)
}

export const REPRODUCIBLE: readonly Check[] = [
  {
    name: 'one-seed',
    says: 'two fresh models with one seed train to the same bits',
    run: (trial) => sameModel(trial.fitted(), trial.fitted(), trial.x, 'of two models with one seed'),
  },
  {
    name: 'other-seed',
    says: 'another seed draws another model',
    run(trial) {
      const [one, other] = [trial.fitted(), trial.fitted({}, {}, { seed: 8 })].map((net) => net.weights())
      insist(JSON.stringify(one) !== JSON.stringify(other), 'Expected other weights with another seed.')
    },
  },
  {
    name: 'fit-sync',
    says: 'fit and fitSync train to the same bits',
    async run(trial) {
      const net = trial.make()
      await net.fit(trial.x, trial.y as Targets, trial.settings())
      sameModel(net, trial.fitted(), trial.x, 'of fit and fitSync')
    },
  },
  {
    name: 'side-by-side',
    says: 'two models trained at once are as one trained alone',
    async run(trial) {
      const nets = [trial.make(), trial.make()]
      await Promise.all(nets.map((net) => net.fit(trial.x, trial.y as Targets, trial.settings())))
      for (const net of nets) sameModel(net, trial.fitted(), trial.x, 'of models trained at once')
    },
  },
  {
    name: 'threads',
    says: 'the number of threads changes no bit',
    run: (trial) =>
      sameModel(
        trial.fitted({}, {}, { threads: 1 }),
        trial.fitted({}, {}, { threads: 2 }),
        trial.x,
        'of 1 and 2 threads',
      ),
  },
  {
    name: 'reset',
    says: 'a model that is reset trains as a fresh one',
    run(trial) {
      const net = trial.fitted()
      net.reset()
      trial.fit(net)
      sameModel(net, trial.fitted(), trial.x, 'after reset')
    },
  },
  {
    name: 'fit-goes-on',
    says: 'a second fit goes on from the weights of the first',
    // Running statistics move at any rate.
    applies: ({ needsTwoRows }) => !needsTwoRows,
    run(trial) {
      const net = trial.fitted()
      const before = trial.loss(net)
      trial.fit(net, {}, { learningRate: 0 })
      trial.near([trial.loss(net)], [before], 'the loss after a second fit at rate 0')
    },
  },
  {
    name: 'partial-fit',
    says: 'partialFit of one epoch and of two is partialFit of three',
    async run(trial) {
      const [once, parts] = [trial.make(), trial.make()]
      const y = trial.y as Targets
      await once.partialFit(trial.x, y, trial.settings({ epochs: 3 }))
      await parts.partialFit(trial.x, y, trial.settings({ epochs: 1 }))
      await parts.partialFit(trial.x, y, trial.settings({ epochs: 2 }))
      sameModel(once, parts, trial.x, 'of partialFit in parts')
    },
  },
  {
    name: 'validation-looks-on',
    says: 'rows for validation change no bit of the training',
    run(trial) {
      const validation = { x: trial.x, y: trial.y as Targets }
      sameModel(trial.fitted({}, { validation }), trial.fitted(), trial.x, 'with validation and without')
    },
  },
  {
    name: 'callbacks-look-on',
    says: 'a callback that only looks changes no bit',
    run(trial) {
      const callbacks = { onBatchEnd: (moment: { weights(): unknown }) => void moment.weights() }
      sameModel(trial.fitted({}, { callbacks }), trial.fitted(), trial.x, 'with a callback and without')
    },
  },
]

export const UNTOUCHED: readonly Check[] = [
  {
    name: 'inputs-not-written',
    says: 'x and y are never written',
    run(trial) {
      const x = trial.x.map((row) => Float64Array.from(row))
      const copy = structuredClone([x, trial.y])
      const net = trial.fitted({ x }, {}, { standardize: trial.task === 'regression' })
      net.predict(x)
      net.evaluate(x, trial.y as Targets)
      same([x, trial.y], copy, 'x and y after fit, predict and evaluate')
    },
  },
  {
    name: 'options-not-written',
    says: 'options may be frozen, and are as they were',
    run(trial) {
      const options = Object.freeze(trial.settings({ metrics: Object.freeze([]) }))
      const copy = { ...options }
      trial.fit(trial.make(Object.freeze({})), {}, options)
      same(options, copy, 'the options of fit')
    },
  },
  {
    name: 'looking-changes-nothing',
    says: 'predict, evaluate, loss, gradients, summary and explain leave the model as it is',
    async run(trial) {
      const net = trial.fitted()
      const y = trial.y as Targets
      await leaves(trial, net, () => net.predict(rowsOf(7, 4)), 'predict')
      await leaves(trial, net, () => net.evaluate(trial.x, y), 'evaluate')
      await leaves(trial, net, () => net.loss(trial.x, y), 'loss')
      await leaves(trial, net, () => net.gradients(trial.x, y), 'gradients')
      await leaves(trial, net, () => [net.summary(), net.explain()], 'summary and explain')
    },
  },
  {
    name: 'weights-are-copies',
    says: 'what weights() returned may be written',
    run: (trial) => {
      const net = trial.fitted()
      return leaves(trial, net, () => net.weights()[0].weights.data.fill(9), 'a write to a copy of the weights')
    },
  },
  {
    name: 'data-read-once',
    says: 'x may be written once fit has returned its run',
    async run(trial) {
      const net = trial.make()
      const x = { data: Float32Array.from(trial.x.flat()), rows: trial.x.length, columns: 4 }
      const run = net.fit(x, trial.y as Targets, trial.settings())
      x.data.fill(0)
      await run
      sameModel(net, trial.fitted(), trial.x, 'of data written in mid-run')
    },
  },
  {
    name: 'summary-stable',
    says: 'summary and explain say the same of the same model',
    run(trial) {
      const net = trial.fitted()
      const said = [net.summary(), net.explain()]
      trial.fit(net)
      same([net.summary(), net.explain()], said, 'summary and explain after a fit')
    },
  },
]

export const REFUSED: readonly Check[] = [
  {
    name: 'before-fit',
    says: 'what needs a model is ERR_STATE before the first fit',
    async run(trial) {
      const net = trial.make()
      await refuses('ERR_STATE', () => net.predict(trial.x), 'predict before fit')
      await refuses('ERR_STATE', () => net.evaluate(trial.x, trial.y as Targets), 'evaluate before fit')
      await refuses('ERR_STATE', () => net.weights(), 'weights before fit')
      await refuses('ERR_STATE', () => net.save(trial.path('none')), 'save before fit')
    },
  },
  {
    name: 'columns',
    says: 'another number of columns is ERR_SHAPE',
    async run(trial) {
      const net = trial.fitted()
      for (const columns of [3, 5]) {
        const x = rowsOf(24, columns)
        await refuses('ERR_SHAPE', () => net.predict(x), `predict of ${columns} columns`)
        await refuses('ERR_SHAPE', () => trial.fit(net, { x }), `fit of ${columns} columns`)
      }
    },
  },
  {
    name: 'ragged',
    says: 'rows of different length are ERR_SHAPE',
    async run(trial) {
      const x = trial.x.map((row, r) => (r === 3 ? row.slice(1) : row))
      await refuses('ERR_SHAPE', () => trial.fit(trial.make(), { x }), 'fit of ragged rows')
      await refuses('ERR_SHAPE', () => trial.fitted().predict(x), 'predict of ragged rows')
    },
  },
  {
    name: 'lengths',
    says: 'x and y of different length are ERR_SHAPE',
    run: (trial) =>
      refuses('ERR_SHAPE', () => trial.fit(trial.make(), { y: trial.y.slice(1) }), 'a y that is too short'),
  },
  {
    name: 'empty',
    says: 'no rows are ERR_DATA',
    async run(trial) {
      await refuses('ERR_DATA', () => trial.fit(trial.make(), { x: [], y: [] }), 'fit of no rows')
      await refuses('ERR_DATA', () => trial.fitted().predict([]), 'predict of no rows')
    },
  },
  {
    name: 'not-finite',
    says: 'NaN and Infinity in x are ERR_DATA, in every kind of array',
    async run(trial) {
      const net = trial.fitted()
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        const x = trial.x.map((row, r) => (r === 2 ? [row[0], row[1], bad, row[3]] : row))
        const typed = { data: Float32Array.from(x.flat()), rows: x.length, columns: 4 }
        for (const form of [x, typed]) {
          await refuses('ERR_DATA', () => trial.fit(trial.make(), { x: form }), `fit of ${bad}`)
          await refuses('ERR_DATA', () => net.predict(form), `predict of ${bad}`)
          await refuses('ERR_DATA', () => trial.loss(net, { x: form }), `loss of ${bad}`)
        }
      }
    },
  },
  {
    name: 'not-finite-target',
    says: 'NaN in y is ERR_DATA',
    applies: onTasks('regression', 'multilabel'),
    run(trial) {
      const y = trial.y.map((value, r) => (r > 0 ? value : typeof value === 'number' ? Number.NaN : [0, Number.NaN]))
      return refuses('ERR_DATA', () => trial.fit(trial.make(), { y }), 'NaN in y')
    },
  },
  {
    name: 'unseen-label',
    says: 'a label that the first fit did not have is ERR_DATA',
    applies: ofLabels,
    run(trial) {
      const net = trial.fitted()
      return refuses('ERR_DATA', () => trial.fit(net, { y: ['oak', ...trial.y.slice(1)] }), 'a label not seen')
    },
  },
  {
    name: 'unknown-option',
    says: 'an option that nobody knows is ERR_OPTION',
    run: (trial) =>
      refuses('ERR_OPTION', () => trial.fit(trial.make(), {}, { lerningRate: 1 } as object), 'lerningRate'),
  },
  {
    name: 'error-leaves-model',
    says: 'a call that is refused leaves the model as it was',
    run(trial) {
      const net = trial.fitted()
      const bad = () => refuses('ERR_SHAPE', () => trial.fit(net, { x: rowsOf(24, 3) }), 'fit of 3 columns')
      return leaves(trial, net, bad, 'a refused fit')
    },
  },
  {
    name: 'error-leaves-unbuilt',
    says: 'a first fit that is refused leaves a model that fits other data',
    async run(trial) {
      const net = trial.make()
      await refuses('ERR_SHAPE', () => trial.fit(net, { x: rowsOf(23, 6) }), 'x and y of different length')
      trial.fit(net)
      sameModel(net, trial.fitted(), trial.x, 'after a refused first fit')
    },
  },
  {
    name: 'busy',
    says: 'a model in training predicts, and refuses another fit with ERR_BUSY',
    async run(trial) {
      const net = trial.fitted()
      const run = net.fit(trial.x, trial.y as Targets, trial.settings())
      await refuses('ERR_BUSY', () => trial.fit(net), 'fit in mid-fit')
      await refuses('ERR_BUSY', () => net.reset(), 'reset in mid-fit')
      finite(net.predict(trial.x), 'predict in mid-fit')
      await run
    },
  },
]
