/**
 * Cross-validation and the three searches: parts of rows, scores against trainings made by hand, what is drawn, who stays.
 */
import { crossValidate, FNN, gridSearch, halvingSearch, randomSearch } from 'downhill'
import t from 'tap'
import { foldRows } from '../dist/data/split'
import { drawFrom, gridOf } from '../dist/search/space'
import { numbers } from './doctor/data'

const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

/** Two clouds that overlap; one row in three is of the second class. */
function clouds(n: number): { x: number[][]; y: string[] } {
  const { normal } = numbers(7)
  const y = count(n).map((i) => (i % 3 === 0 ? 'b' : 'a'))
  return { x: y.map((label) => [normal() + (label === 'b' ? 1.5 : 0), normal()]), y }
}

t.test('parts of the rows: all of them once, sizes alike, classes spread, drawn by the seed', async (t) => {
  for (const [rows, parts] of [
    [10, 2],
    [23, 5],
    [7, 7],
  ]) {
    const classes = Uint32Array.from(count(rows), (i) => (i % 4 === 0 ? 1 : 0))
    const folds = foldRows(rows, parts, { seed: 3, classes })
    t.equal(folds.length, parts)
    t.same(
      folds.flatMap((fold) => [...fold]).sort((a, b) => a - b),
      count(rows),
    )
    const spread = (sizes: number[]): number => Math.max(...sizes) - Math.min(...sizes)
    t.ok(spread(folds.map((fold) => fold.length)) <= 1, 'sizes')
    for (const k of [0, 1])
      t.ok(spread(folds.map((fold) => fold.filter((row) => classes[row] === k).length)) <= 1, `class ${k}`)
    t.same(folds, foldRows(rows, parts, { seed: 3, classes }))
  }
  t.notSame(foldRows(20, 2, { seed: 1 }), foldRows(20, 2, { seed: 2 }))
})

t.test('a fold is a training made by hand', async (t) => {
  const { x, y } = clouds(40)
  const model = { hidden: [4], seed: 5 }
  const fit = { epochs: 20, learningRate: 0.1, batchSize: 8 }
  const { scores, folds, mean, std, metric } = await crossValidate({ model, fit, x, y, folds: 4 })
  t.equal(metric, 'accuracy')
  const classes = Uint32Array.from(y, (label) => Number(label === 'b'))
  for (const [i, held] of foldRows(40, 4, { seed: 5, classes }).entries()) {
    const trained = count(40).filter((row) => !held.includes(row))
    const net = new FNN(model)
    await net.fit(
      trained.map((row) => x[row]),
      trained.map((row) => y[row]),
      fit,
    )
    const { accuracy, loss } = net.evaluate(
      [...held].map((row) => x[row]),
      [...held].map((row) => y[row]),
    )
    t.equal(scores[i], accuracy)
    t.equal(folds[i].evaluation.loss, loss)
    t.equal(folds[i].rows, 30)
  }
  const average = scores.reduce((sum, score) => sum + score, 0) / 4
  t.equal(mean, average)
  t.ok(Math.abs(std - Math.sqrt(scores.reduce((sum, score) => sum + (score - average) ** 2, 0) / 4)) < 1e-12)
})

t.test('weights go along with their rows, and a class that a part lacks is a class', async (t) => {
  const { x, y } = clouds(30)
  const rare = [...y]
  rare[0] = 'c'
  const run = await crossValidate({ model: { hidden: [3], seed: 1 }, fit: { epochs: 2 }, x, y: rare, folds: 3 })
  t.equal(run.scores.length, 3)
  // Rows without weight decide nothing, neither in training nor in a score, whatever their targets are.
  const sampleWeight = count(30).map((i) => i % 2)
  const amounts = x.map(([a, b]) => a - b)
  const scoresOf = async (targets: number[], weighted = true): Promise<Float64Array> => {
    const model = { hidden: [3], seed: 1, task: 'regression' } as const
    const fit = { epochs: 5, ...(weighted && { sampleWeight }) }
    return (await crossValidate({ model, fit, x, y: targets, folds: 2, metric: 'loss' })).scores
  }
  const wild = amounts.map((v, i) => (i % 2 ? v : v + 100))
  t.same(await scoresOf(wild), await scoresOf(amounts))
  t.notSame(await scoresOf(wild, false), await scoresOf(amounts, false))
})

t.test('a grid is every combination; the best is trained on all rows', async (t) => {
  const space = { model: { hidden: [[2], [8]] }, fit: { learningRate: [1e-4, 0.3] } }
  t.same(
    gridOf(space).map(({ model, fit }) => [model.hidden, fit.learningRate]),
    [
      [[2], 1e-4],
      [[2], 0.3],
      [[8], 1e-4],
      [[8], 0.3],
    ],
  )
  const { x, y } = clouds(60)
  const options = { model: { seed: 2 }, fit: { epochs: 30 }, x, y, folds: 3, search: space }
  const result = await gridSearch(options)
  t.equal(result.trials.length, 4)
  t.equal(result.best, result.trials[0])
  t.equal(result.best.fit.learningRate, 0.3, 'the other hardly moves')
  t.same(
    result.trials.map(({ rank }) => rank),
    [1, 2, 3, 4],
  )
  const means = result.trials.map(({ mean }) => mean)
  t.same(
    means,
    [...means].sort((a, b) => b - a),
  )
  const alone = new FNN({ seed: 2, ...result.best.model })
  alone.fitSync(x, y, { epochs: 30, ...result.best.fit })
  t.same(result.net?.predict(x), alone.predict(x))
  t.match(result.table(), /rank\s+accuracy\s+±\s+hidden\s+learningRate\s+epochs\s+seconds\n\s+1 /)
  const again = await gridSearch({ ...options, refit: false })
  t.same(
    again.trials.map(({ scores }) => scores),
    result.trials.map(({ scores }) => scores),
    'the same numbers again',
  )
  t.equal(again.net, null)
  const byF1 = await gridSearch({ ...options, metric: 'f1', refit: false })
  t.equal(byF1.metric, 'f1')
  t.ok(byF1.trials[0].mean >= byF1.trials[3].mean, 'of f1 the highest is best')
  const byLoss = await gridSearch({ ...options, metric: 'loss', refit: false })
  t.ok(byLoss.trials[0].mean <= byLoss.trials[3].mean, 'of a loss the lowest is best')
})

t.test('draws stay in their ranges, evenly in the logarithm where asked', async (t) => {
  const space = {
    model: { l2: { low: 1e-6, high: 1e-2, scale: 'log' } },
    fit: { batchSize: { low: 8, high: 11, whole: true }, optimizer: ['sgd', 'adam'] },
  } as const
  const drawn = drawFrom(space, 2000, 1)
  const l2 = drawn.map(({ model }) => model.l2 as number)
  t.ok(l2.every((value) => value >= 1e-6 && value <= 1e-2))
  const low = l2.filter((value) => value < 1e-4).length
  t.ok(Math.abs(low - 1000) < 5 * Math.sqrt(500), `${low} of 2000 are below the middle of the logarithms`)
  for (const size of [8, 9, 10, 11]) {
    const found = drawn.filter(({ fit }) => fit.batchSize === size).length
    t.ok(Math.abs(found - 500) < 5 * Math.sqrt(375), `${size}: ${found}`)
  }
  t.same(drawFrom(space, 5, 1), drawn.slice(0, 5))
  t.notSame(drawFrom(space, 5, 2), drawn.slice(0, 5))
  const { x, y } = clouds(30)
  const result = await randomSearch({
    fit: { epochs: 3 },
    x,
    y,
    folds: 2,
    search: space,
    trials: 3,
    seed: 4,
    refit: false,
  })
  t.same(
    result.trials.map(({ model }) => model.l2).sort(),
    drawFrom(space, 3, 4)
      .map(({ model }) => model.l2)
      .sort(),
  )
})

t.test('halving: nine for an epoch, three for three, one for nine', async (t) => {
  const { x, y } = clouds(45)
  const rates = [1e-5, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 0.5, 1]
  const result = await halvingSearch({
    model: { hidden: [6], seed: 3 },
    fit: { epochs: 9, batchSize: 5 },
    x,
    y,
    folds: 3,
    metric: 'loss',
    search: { fit: { learningRate: rates } },
  })
  t.same(
    result.trials.map(({ epochs }) => epochs),
    [9, 3, 3, 1, 1, 1, 1, 1, 1],
  )
  t.ok((result.best.fit.learningRate as number) >= 0.01)
  t.equal(result.best.epochs, 9)
})

t.test('what cannot be searched is one sentence', async (t) => {
  const { x, y } = clouds(12)
  const search = { fit: { learningRate: [0.1] } }
  const wrong: [string, Promise<unknown>, RegExp][] = [
    ['folds', crossValidate({ x, y, folds: 1 }), /integer ≥ 2/],
    ['rows', crossValidate({ x, y, folds: 13 }), /13 rows/],
    ['metric', crossValidate({ x, y, metric: 'accurracy' as never }), /did you mean "accuracy"/],
    ['of another task', crossValidate({ x, y, metric: 'rmse' }), /binary task/],
    ['a list', crossValidate({ x, y, metric: 'confusionMatrix' }), /one number/],
    ['option', crossValidate({ x, y, fold: 3 } as never), /did you mean "folds"/],
    ['empty', gridSearch({ x, y, search: {} }), /at least one option/],
    ['part', gridSearch({ x, y, search: { fits: {} } as never }), /did you mean "fit"/],
    ['range', gridSearch({ x, y, search: { fit: { learningRate: { low: 0.1, high: 1 } } } }), /randomSearch/],
    ['list', gridSearch({ x, y, search: { fit: { learningRate: [] } } }), /list of values/],
    ['log', randomSearch({ x, y, search: { fit: { learningRate: { low: 0, high: 1, scale: 'log' } } } }), /low > 0/],
    ['trials', randomSearch({ x, y, search, trials: 0 }), /positive integer/],
    ['factor', halvingSearch({ x, y, search, factor: 1 }), /integer ≥ 2/],
    ['epochs', halvingSearch({ x, y, search: { fit: { epochs: [1, 2] } } }), /chooses them itself/],
    ['a bad candidate', gridSearch({ x, y, folds: 2, search: { fit: { learningRate: [0.1, -1] } } }), /learningRate/],
  ]
  for (const [name, promise, message] of wrong) await t.rejects(promise, { message }, name)
})
