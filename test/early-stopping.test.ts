/**
 * Early stopping, and the best epoch of a run: which it is, when the run ends, whose weights are left.
 */
import { constant, dense, type FitOptions, FNN, type History } from 'downhill'
import t, { type Test } from 'tap'
import { flat, onEachBackend, type TestBackend } from './truth'

/** w² at w = 1, held out at the same place: a step at rate r multiplies w by 1 − 2r, so that losses can be written down. */
function follow(
  losses: readonly number[],
  options: TestBackend['options'],
  fit: FitOptions,
): { history: History; net: FNN } {
  const net = new FNN({
    inputs: 1,
    layers: [dense(1, 'linear', { initializer: constant(1), bias: false })],
    loss: 'mse',
    ...options,
  })
  let w = 1
  const callbacks = {
    onEpochBegin(moment: { epoch: number; learningRate: number }) {
      // Once the list is at its end, nothing moves.
      const next = Math.sqrt(losses[moment.epoch] ?? losses[losses.length - 1])
      moment.learningRate = Math.max(0, (1 - next / w) / 2)
      w = next
    },
  }
  const history = net.fitSync([1], [0], { epochs: 30, validation: { x: [1], y: [0] }, callbacks, ...fit })
  return { history, net }
}

/** Falls all the time, slower and slower. */
const FALLING = [0.9, 0.5, 0.3, 0.29, 0.285, 0.28, 0.1, 0.09]

/** Epochs trained, and the best of them. */
const outcome = ({ history }: { history: History }): unknown => [history.status, history.epochs, history.best?.epoch]

t.test('a run ends when it gets no better, and says when it was best', (t) =>
  onEachBackend(t, (t, { options }) => {
    const run = (earlyStopping: FitOptions['earlyStopping'], more: FitOptions = {}): unknown =>
      outcome(follow(FALLING, options, { earlyStopping, ...more }))
    t.strictSame(run(true), ['stopped', 18, 8])
    t.strictSame(run({ patience: 3 }), ['stopped', 11, 8])
    t.strictSame(run({ patience: 1 }), ['stopped', 9, 8])
    t.strictSame(run({ patience: 3, minDelta: 0.05 }), ['stopped', 6, 3], 'less than minDelta is nothing')
    t.strictSame(run({ patience: 4, minDelta: 0.05 }), ['stopped', 11, 7])
    t.strictSame(
      run({ patience: 3, minDelta: 0.05, startFrom: 4 }),
      ['stopped', 10, 7],
      'the beginning is not looked at',
    )
    t.strictSame(run({ patience: 2, startFrom: 9 }), ['stopped', 12, 10])
    t.strictSame(run({ patience: 23 }), ['completed', 30, 8], 'the last epoch ends it first')
    // A full batch's loss is that before its update: one epoch later than the validation loss.
    t.strictSame(run({ monitor: 'loss', patience: 3 }, { validation: undefined as never }), ['stopped', 12, 9])
    const { history } = follow(FALLING, options, { earlyStopping: { patience: 3 } })
    t.equal(history.stopReason, 'No improvement of valLoss for 3 epochs; the best was epoch 8.')
    t.equal(history.best?.monitor, 'valLoss')
    t.equal(history.best?.value, history.valLoss?.[7])
    const { history: one } = follow(FALLING, options, { earlyStopping: { patience: 1, monitor: 'loss' } })
    t.match(one.stopReason, /^No improvement of loss for 1 epoch; the best was epoch \d+\.$/)
    t.equal(follow(FALLING, options, {}).history.best, null, 'nobody looks')
  }),
)

/** Two clouds that overlap: a validation loss that falls and rises again. */
const x = Array.from({ length: 80 }, (_, i) => [Math.sin(i), Math.cos(3 * i), Math.sin(i * i)])
const y = x.map(([a, b], i) => (a + b + 1.2 * Math.sin(7 * i) > 0 ? 'yes' : 'no'))
const OVERFIT: FitOptions = { epochs: 400, batchSize: 16, optimizer: 'adam', learningRate: 0.05, validation: 0.3 }
const fresh = (options: TestBackend['options']): FNN => new FNN({ hidden: [16], seed: 2, ...options })
const weightsOf = (net: FNN): number[] => flat(net.weights())

t.test('the best weights are restored, unless asked otherwise, and are those that keep restores', (t) =>
  onEachBackend(t, async (t, { options }) => {
    const [stopped, straight, last, kept] = [0, 1, 2, 3].map(() => fresh(options))
    const history = await stopped.fit(x, y, { ...OVERFIT, earlyStopping: true })
    const best = history.best?.epoch as number
    t.equal(history.status, 'stopped')
    t.equal(history.epochs, best + 10)
    t.equal(history.valLoss?.indexOf(Math.min(...history.valLoss)), best - 1)
    await straight.fit(x, y, { ...OVERFIT, epochs: best })
    t.strictSame(weightsOf(stopped), weightsOf(straight), 'those after the best epoch')

    const { epochs } = await last.fit(x, y, { ...OVERFIT, earlyStopping: { restoreBest: false } })
    t.equal(epochs, best + 10)
    await straight.reset()
    await straight.fit(x, y, { ...OVERFIT, epochs })
    t.strictSame(weightsOf(last), weightsOf(straight), 'those after the last epoch')

    const whole = await kept.fit(x, y, { ...OVERFIT, epochs: best + 10, keep: 'best' })
    t.strictSame(whole.best, history.best, 'one mechanism')
    t.strictSame(weightsOf(kept), weightsOf(stopped))
  }),
)

t.test('more is better where the metric says so', (t) =>
  onEachBackend(t, async (t, { options }) => {
    for (const monitor of ['accuracy', 'valAccuracy'] as const) {
      const { best, metrics, stopReason } = await fresh(options).fit(x, y, {
        ...OVERFIT,
        earlyStopping: { monitor, patience: 15 },
      })
      const { valAccuracy } = metrics
      const highest = Math.max(...valAccuracy)
      t.strictSame(best, { epoch: valAccuracy.indexOf(highest) + 1, monitor: 'valAccuracy', value: highest })
      t.match(stopReason, /^No improvement of valAccuracy for 15 epochs; the best was epoch \d+\.$/)
    }
  }),
)

t.test('it is the same however the run is driven, and goes with partialFit', (t) =>
  onEachBackend(t, async (t: Test, { options }) => {
    const fit: FitOptions = { ...OVERFIT, earlyStopping: { patience: 6 } }
    const [sync, async, partial] = [0, 1, 2].map(() => fresh(options))
    const histories = [sync.fitSync(x, y, fit), await async.fit(x, y, fit), await partial.partialFit(x, y, fit)]
    for (const { loss, stopReason, best } of histories) {
      t.strictSame([...loss], [...histories[0].loss])
      t.equal(stopReason, histories[0].stopReason)
      t.strictSame(best, histories[0].best)
    }
    t.strictSame(weightsOf(async), weightsOf(sync))
    t.strictSame(weightsOf(partial), weightsOf(sync))
  }),
)
