/**
 * Checks of numbers: forms of data, predictions, weights of rows, odd shapes, the run, files.
 */
import type { Targets } from '../data/targets'
import { score } from '../score'
import { apart, type Check, ofLabels, onTasks, relabelled, reversed, sum, twice } from './check'
import { finite, insist, plain, refuses, rowsOf, same, sameModel, type Trial } from './trial'

export const FORMS: readonly Check[] = [
  {
    name: 'forms',
    says: 'rows, rows of typed arrays, a Matrix and its views are the same x',
    run(trial) {
      const { x } = trial
      const [rows, columns] = [x.length, x[0].length]
      const padded = Float64Array.from([9, ...x.flat(), 9])
      const forms = [
        x.map((row) => Float64Array.from(row)),
        { data: Float32Array.from(x.flat()), rows, columns },
        { data: Float64Array.from(x.flat()), rows, columns },
        { data: padded.subarray(1, padded.length - 1), rows, columns },
      ]
      for (const form of forms) sameModel(trial.fitted({ x: form }), trial.fitted(), form, 'of another form of x')
      same(trial.fitted().predict(x.flat()), trial.fitted().predict(x), 'the predictions of a flat x')
    },
  },
  {
    name: 'kinds',
    says: 'bytes, integers and floats of the same values are the same x',
    run(trial) {
      const values = trial.x.flatMap((row) => row.map((value) => Math.abs(Math.trunc(value))))
      const kinds = [
        Uint8Array,
        Int8Array,
        Uint8ClampedArray,
        Int16Array,
        Uint32Array,
        Int32Array,
        Float32Array,
        Float64Array,
      ]
      const net = trial.fitted()
      const [first, ...others] = kinds.map((Kind) => net.predict(Kind.from(values)))
      for (const other of others) trial.near(plain(other), plain(first), 'predictions of another kind of array')
    },
  },
  {
    name: 'target-column',
    says: 'y as a list, as a typed array and as a column is the same y',
    applies: onTasks('regression'),
    run(trial) {
      const numbers = trial.y as readonly number[]
      for (const y of [Float64Array.from(numbers), numbers.map((value) => [value])])
        sameModel(trial.fitted({ y }), trial.fitted(), trial.x, 'of y in another form')
    },
  },
  {
    name: 'many-outputs',
    says: 'a regression with three columns in y predicts a Matrix of three',
    applies: onTasks('regression'),
    run(trial) {
      const y = trial.x.map((row) => row.slice(1))
      const predicted = trial.fitted({ y }, {}, { outputs: 3 }).predict(trial.x) as { rows: number; columns: number }
      same([predicted.rows, predicted.columns], [24, 3], 'the shape of predictions')
      finite(predicted, 'three outputs')
    },
  },
  {
    name: 'one-hot',
    says: 'rows of one 1 are class numbers',
    applies: onTasks('multiclass'),
    run(trial) {
      const numbers = relabelled(trial, [0, 1, 2])
      const hot = numbers.map((k) => [0, 1, 2].map((i) => Number(i === k)))
      sameModel(trial.fitted({ y: hot }), trial.fitted({ y: numbers }), trial.x, 'of one-hot y')
    },
  },
  {
    name: 'label-types',
    says: 'labels come back as they were given: words, numbers far apart, booleans',
    applies: ofLabels,
    run(trial) {
      const kinds = [['x', '', 'ü'], [-3, 700, 1e6 + 0.5], ...(trial.task === 'binary' ? [[false, true]] : [])]
      for (const labels of kinds) {
        const given = relabelled<string | number | boolean>(trial, labels)
        const predicted = plain(trial.fitted({ y: given }).predict(trial.x))
        insist(
          predicted.every((label) => given.includes(label)),
          `Expected labels among ${labels.join()}.`,
        )
      }
    },
  },
  {
    name: 'class-order',
    says: 'columns of predictProba follow the order of classes',
    applies: ofLabels,
    run(trial) {
      const classes = reversed(trial.classes as readonly string[])
      const net = trial.fitted({}, {}, { classes })
      const proba = plain(net.predictProba(trial.x)) as number[]
      const K = proba.length / trial.x.length
      for (const [r, label] of (net.predict(trial.x) as string[]).entries()) {
        const row = proba.slice(r * K, r * K + K)
        const shares = K === 1 ? [1 - row[0], row[0]] : row
        insist(
          shares[classes.indexOf(label)] === Math.max(...shares),
          `Expected ${label} to be the likeliest of row ${r}.`,
        )
      }
    },
  },
]

export const PREDICTIONS: readonly Check[] = [
  {
    name: 'one-row',
    says: 'a row alone is predicted as in a batch',
    run(trial) {
      const net = trial.fitted()
      trial.near(
        trial.x.flatMap((row) => plain(net.predict([row]))),
        plain(net.predict(trial.x)),
        'rows alone and together',
      )
    },
  },
  {
    name: 'row-order',
    says: 'rows in another order are predicted in that order',
    run(trial) {
      const net = trial.fitted()
      const ordered = reversed(trial.x).flatMap((_, r) => plain(net.predict(reversed(trial.x).slice(r, r + 1))))
      trial.near(plain(net.predict(reversed(trial.x))), ordered, 'rows in another order')
    },
  },
  {
    name: 'lengths-of-answers',
    says: 'there is one prediction a row',
    run(trial) {
      const net = trial.fitted()
      const width = plain(net.predict(trial.x)).length / trial.x.length
      for (const rows of [1, 2, 33]) {
        const found = plain(net.predict(rowsOf(rows, 4))).length
        insist(found === rows * width, `Expected ${rows * width} predictions of ${rows} rows but found ${found}.`)
      }
    },
  },
  {
    name: 'probabilities',
    says: 'probabilities are in [0, 1], and those of more than two classes sum to 1',
    applies: onTasks('binary', 'multiclass', 'multilabel'),
    run(trial) {
      const proba = plain(trial.fitted().predictProba(trial.x)) as number[]
      insist(
        proba.every((p) => p >= 0 && p <= 1),
        'Expected probabilities in [0, 1].',
      )
      if (trial.task === 'multiclass') trial.near([sum(proba)], [trial.x.length], 'sums of probabilities')
    },
  },
  {
    name: 'no-probabilities',
    says: 'predictProba of a regression is ERR_OPTION',
    applies: onTasks('regression'),
    run: (trial) => refuses('ERR_OPTION', () => trial.fitted().predictProba(trial.x), 'predictProba of a regression'),
  },
  {
    name: 'decisions',
    says: 'predict is the side of ½ on which predictProba is',
    applies: onTasks('binary', 'multilabel'),
    run(trial) {
      const net = trial.fitted()
      const sides = plain(net.predictProba(trial.x)).map((p) => Number((p as number) >= 0.5))
      const decided = plain(net.predict(trial.x)).map((label) =>
        trial.classes ? trial.classes.indexOf(String(label)) : label,
      )
      same(decided, sides, 'decisions and sides of ½')
    },
  },
  {
    name: 'evaluation',
    says: 'accuracy and r2 are those of the predictions',
    applies: onTasks('binary', 'multiclass', 'regression'),
    run(trial) {
      const net = trial.fitted()
      const metric = trial.task === 'regression' ? 'r2' : 'accuracy'
      const predicted = net.predict(trial.x) as Targets
      const found = net.evaluate(trial.x, trial.y as Targets)
      trial.near([found[metric]], [score(metric, trial.y as Targets, predicted)], metric)
      trial.near([found.modelLoss], [trial.loss(net)], 'the loss of evaluate and of loss')
    },
  },
]

export const WEIGHTS: readonly Check[] = [
  {
    name: 'weight-two',
    says: 'a row of weight 2 counts in training as the row twice',
    applies: apart,
    run(trial) {
      const weighted = trial.fitted({}, { sampleWeight: trial.x.map((_, r) => 1 + (r % 2)) })
      const isTwice = (_: unknown, r: number) => r % 2 === 1
      const [x, y] = [
        [...trial.x, ...trial.x.filter(isTwice)],
        [...trial.y, ...trial.y.filter(isTwice)],
      ]
      trial.near([trial.loss(weighted)], [trial.loss(trial.fitted({ x, y }))], 'the loss of weight 2 and of rows twice')
    },
  },
  {
    name: 'weight-zero',
    says: 'a row of weight 0 is not there in training',
    applies: apart,
    run(trial) {
      const sampleWeight = trial.x.map((_, r) => Number(r < 15))
      const some = trial.fitted({ x: trial.x.slice(0, 15), y: trial.y.slice(0, 15) })
      trial.near(
        [trial.loss(trial.fitted({}, { sampleWeight }))],
        [trial.loss(some)],
        'the loss of weight 0 and of rows left out',
      )
    },
  },
  {
    name: 'weights-equal',
    says: 'equal weights are none',
    run: (trial) => {
      const weighted = trial.fitted({}, { sampleWeight: trial.x.map(() => 4) })
      trial.near([trial.loss(weighted)], [trial.loss(trial.fitted())], 'the loss of equal weights and of none')
    },
  },
  {
    name: 'weights-of-loss',
    says: 'weights count in loss as rows repeated',
    run(trial) {
      const net = trial.fitted()
      const [x, y] = [
        [...trial.x, trial.x[0], trial.x[0]],
        [...trial.y, trial.y[0], trial.y[0]],
      ]
      const weights = trial.x.map((_, r) => (r === 0 ? 3 : 1))
      trial.near([trial.loss(net, {}, weights)], [trial.loss(net, { x, y })], 'the weighted loss')
    },
  },
  {
    name: 'permuted-rows',
    says: 'the order of rows in a full batch changes roundings only',
    applies: apart,
    run(trial) {
      const net = trial.fitted({ x: reversed(trial.x), y: reversed(trial.y) }, { batchSize: 'full' })
      trial.near([trial.loss(net)], [trial.loss(trial.fitted({}, { batchSize: 'full' }))], 'the loss of permuted rows')
    },
  },
  {
    name: 'rows-twice',
    says: 'all rows twice are the rows once',
    applies: apart,
    run(trial) {
      const net = trial.fitted({ x: twice(trial.x), y: twice(trial.y) }, { batchSize: 'full' })
      trial.near([trial.loss(net)], [trial.loss(trial.fitted({}, { batchSize: 'full' }))], 'the loss of rows twice')
    },
  },
]

/** On the first rows alone, which need not be of every class. */
function trains(trial: Trial, rows: number, what: string): void {
  const data = { x: trial.x.slice(0, rows), y: trial.y.slice(0, rows) }
  finite(trial.fitted(data, {}, trial.classes ? { classes: trial.classes } : {}).predict(trial.x), what)
}

export const SHAPES: readonly Check[] = [
  {
    name: 'one-sample',
    says: 'one row trains',
    applies: ({ needsTwoRows }) => !needsTwoRows,
    run: (trial) => trains(trial, 1, 'a fit of one row'),
  },
  {
    name: 'two-rows',
    says: 'two rows train',
    run: (trial) => trains(trial, 2, 'a fit of two rows'),
  },
  {
    name: 'one-feature',
    says: 'one column trains',
    run(trial) {
      const x = rowsOf(24, 1)
      finite(trial.fitted({ x }).predict(x), 'a fit of one column')
    },
  },
  {
    name: 'wide',
    says: 'more columns than rows train',
    run(trial) {
      const x = rowsOf(6, 20)
      const y = trial.y.slice(0, 6)
      finite(trial.fitted({ x, y }).predict(x), 'a fit of 20 columns and 6 rows')
    },
  },
  {
    name: 'one-label',
    says: 'a y of one label trains, and predicts it',
    applies: onTasks('binary'),
    run(trial) {
      const net = trial.fitted({ y: trial.y.map(() => 'yes') })
      insist(
        plain(net.predict(trial.x)).every((label) => label === 'yes'),
        'Expected the one label there is.',
      )
    },
  },
  {
    name: 'constant-target',
    says: 'a constant y trains, standardized too',
    applies: onTasks('regression'),
    run(trial) {
      const net = trial.fitted({ y: trial.y.map(() => 5) }, {}, { standardize: true })
      finite(net.predict(trial.x), 'a fit of a constant y')
    },
  },
  {
    name: 'constant-feature',
    says: 'a constant column trains, standardized too',
    applies: (trial) => !trial.hasIndices,
    run(trial) {
      const x = trial.x.map((row) => [row[0], 3, row[2], row[3]])
      finite(trial.fitted({ x }, {}, { standardize: 'inputs' }).predict(x), 'a fit of a constant column')
    },
  },
  {
    name: 'large-values',
    says: 'columns of large numbers train where they are standardized',
    applies: (trial) => !trial.hasIndices,
    run(trial) {
      const x = trial.x.map(([first, ...rest]) => [first, ...rest.map((value) => value * 1e9)])
      finite(trial.fitted({ x }, {}, { standardize: 'inputs' }).predict(x), 'a fit of large numbers')
    },
  },
]

export const RUN: readonly Check[] = [
  {
    name: 'epochs',
    says: 'as many epochs are trained as were asked for',
    run(trial) {
      for (const epochs of [1, 4]) {
        const history = trial.fit(trial.make(), {}, { epochs })
        same([history.epochs, history.loss.length], [epochs, epochs], 'epochs asked for and recorded')
      }
    },
  },
  {
    name: 'steps',
    says: 'an epoch has one step a batch, the last of them short',
    run: (trial) => same(trial.fit(trial.make(), {}, { batchSize: 7 }).steps, 12, 'steps of batches of 7 and 12'),
  },
  {
    name: 'large-batch',
    says: 'a batch larger than the data is a full batch',
    run: (trial) =>
      sameModel(
        trial.fitted({}, { batchSize: 1000, shuffle: false }),
        trial.fitted({}, { batchSize: 'full', shuffle: false }),
        trial.x,
        'of a batch of 1000 and a full one',
      ),
  },
  {
    name: 'rate-zero',
    says: 'a rate of 0 changes no weight',
    run(trial) {
      const net = trial.fitted()
      const before = net.weights().map(({ weights, bias }) => [weights, bias])
      trial.fit(net, {}, { learningRate: 0 })
      same(
        net.weights().map(({ weights, bias }) => [weights, bias]),
        before,
        'weights at rate 0',
      )
    },
  },
  {
    name: 'learns',
    says: 'training lowers the loss of the rows it is on',
    run(trial) {
      const net = trial.fitted({}, { epochs: 1, learningRate: 0 })
      const before = trial.loss(net)
      trial.fit(net, {}, { epochs: 60, optimizer: 'adam', learningRate: 0.02 })
      insist(trial.loss(net) < before, `Expected a loss below ${before} after 60 epochs but it is ${trial.loss(net)}.`)
    },
  },
  {
    name: 'gradients',
    says: 'the gradient is that of centred differences in float64',
    async run(trial) {
      const { ok, tensors } = await trial.fitted().checkGradients(trial.x, trial.y as Targets)
      insist(
        ok && tensors.length > 0,
        'Expected the gradient to agree with centred differences; checkGradients says more.',
      )
    },
  },
  {
    name: 'abort',
    says: 'an aborted run rejects with ERR_ABORTED and leaves the last whole step',
    async run(trial) {
      const net = trial.make()
      const control = new AbortController()
      const callbacks = { onEpochEnd: ({ epoch }: { epoch: number }) => void (epoch === 2 && control.abort()) }
      const options = trial.settings({ epochs: 50, signal: control.signal, callbacks })
      await refuses('ERR_ABORTED', () => net.fit(trial.x, trial.y as Targets, options), 'an aborted run')
      sameModel(net, trial.fitted({}, { epochs: 2 }), trial.x, 'after an abort and of two epochs')
    },
  },
  {
    name: 'stop',
    says: 'a callback that stops leaves the epochs made',
    run(trial) {
      const net = trial.make()
      const callbacks = {
        onEpochEnd: (moment: { epoch: number; stop(): void }) => void (moment.epoch === 2 && moment.stop()),
      }
      same(trial.fit(net, {}, { epochs: 50, callbacks }).status, 'stopped', 'the status of a stopped run')
      sameModel(net, trial.fitted({}, { epochs: 2 }), trial.x, 'after a stop and of two epochs')
    },
  },
]

export const FILES: readonly Check[] = [
  {
    name: 'save-load',
    says: 'a model that was saved and loaded predicts the same bits',
    async run(trial) {
      const [net, path] = [trial.fitted(), trial.path('model')]
      await net.save(path)
      sameModel(await trial.load(path), net, trial.x, 'after load')
    },
  },
  {
    name: 'load-goes-on',
    says: 'a model that was loaded trains on as the one that was saved',
    async run(trial) {
      const [net, path] = [trial.fitted(), trial.path('model')]
      await net.save(path)
      const loaded = await trial.load(path)
      trial.fit(net)
      trial.fit(loaded)
      sameModel(loaded, net, trial.x, 'of a fit after load')
    },
  },
  {
    name: 'set-weights',
    says: 'weights() put into a fresh model make it the same model',
    run(trial) {
      const [net, other] = [trial.fitted(), trial.fitted({}, {}, { seed: 8 })]
      other.setWeights(net.weights())
      sameModel(other, net, trial.x, 'after setWeights')
    },
  },
]
