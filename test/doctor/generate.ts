/**
 * A generator of programs nobody has seen: for every id of the vocabulary sick ones with their repaired twins, and
 * healthy ones. Task, architecture, optimizer, rate, batches, epochs, fault and its size are drawn.
 *
 * What is drawn is tried before it counts. A program is well where rows it was not trained on are told about as well as
 * by the better of two references; it is sick where it ends clearly below its twin, or where the fault holds by
 * arithmetic. So the score does not rest on what the rules under test call sick.
 *
 * Seeds below HELD_OUT are for looking at. What is drawn from the others is only ever scored.
 */
import { FNN } from 'downhill'
import { makeData, numbers, type Preprocess, targetsOf } from './data'
import { type Case, type ProgramSpec, scoreOf, specimen } from './program'

export const HELD_OUT = 100_000

/** What a fault may be seen as, besides its own id. */
type Labels = readonly string[]

interface Draw {
  readonly uniform: () => number
  pick<T>(from: readonly T[]): T
  /** Evenly on a log scale. */
  between(low: number, high: number): number
  /** A whole number, as likely each. */
  whole(low: number, high: number): number
  chance(p: number): boolean
}

function drawFrom(seed: number): Draw {
  const { uniform } = numbers(seed)
  for (let i = 0; i < 8; i++) uniform()
  return {
    uniform,
    pick: (from) => from[Math.floor(uniform() * from.length)],
    between: (low, high) => low * (high / low) ** uniform(),
    whole: (low, high) => low + Math.floor(uniform() * (high - low + 1)),
    chance: (p) => uniform() < p,
  }
}

// ---------------------------------------------------------------------------------------------------- healthy programs

type DataSpec = Case['data']

/** Tasks; what they do to x and y is in the data, so that a fault of the program may undo it. */
const TASKS: readonly ((draw: Draw) => DataSpec)[] = [
  (d) => ({ kind: 'blobs', n: d.whole(80, 500), d: d.whole(2, 12), k: 2, apart: 1.5 + 3 * d.uniform() }),
  (d) => ({ kind: 'blobs', n: d.whole(100, 500), d: d.whole(2, 12), k: d.whole(3, 7), apart: 2.5 + 2 * d.uniform() }),
  (d) => ({ kind: 'moons', n: d.whole(100, 500), noise: 0.05 + 0.2 * d.uniform() }),
  (d) => ({ kind: 'spirals', n: d.whole(200, 500), k: d.whole(2, 3), turns: 0.4 + 0.5 * d.uniform(), noise: 0.05 }),
  (d) => ({ kind: 'xor', n: d.whole(100, 400), d: d.whole(2, 4) }),
  () => ({ kind: 'xor', n: 4 }),
  (d) => ({ kind: 'ball', n: d.whole(150, 500), d: d.whole(2, 4) }),
  (d) => ({ kind: 'halves', n: d.whole(100, 600), d: d.whole(2, 20), noise: d.pick([0, 0.1, 0.2]), share: 0.5 }),
  (d) => ({ kind: 'halves', n: d.whole(300, 900), d: d.whole(3, 8), noise: 0, share: d.pick([0.1, 0.2, 0.3]) }),
  (d) => ({ kind: 'halves', n: d.whole(80, 120), d: d.whole(50, 150), noise: 0, share: 0.5 }),
  (d) => ({ kind: 'halves', n: d.whole(2000, 4000), d: d.whole(5, 10), noise: 0.05, share: 0.5 }),
  (d) => ({ kind: 'tags', n: d.whole(150, 400), d: d.whole(4, 10), k: d.whole(2, 4) }),
  (d) => ({ kind: 'pixels', n: d.whole(200, 500), k: d.pick([2, 5, 10]) }),
  (d) => ({ kind: 'cancerPart', n: d.whole(100, 500), preprocess: { x: 'standardise' } }),
  () => ({ kind: 'asker' }),
  (d) => ({ kind: 'plane', n: d.whole(30, 500), d: d.whole(1, 20), noise: d.pick([0.1, 0.5, 1]), ...unitY }),
  (d) => ({
    kind: 'waves',
    n: d.whole(100, 400),
    d: d.whole(1, 3),
    frequency: 2 + 2 * d.uniform(),
    noise: 0.1,
    ...unitY,
  }),
  (d) => ({ kind: 'bowl', n: d.whole(150, 400), d: d.whole(1, 4), noise: 0.1, ...unitY }),
  (d) => ({ kind: 'friedman', n: d.whole(150, 500), preprocess: { x: 'standardise', y: 'standardise' } }),
]
const unitY = { preprocess: { y: 'standardise' } as Preprocess }

const OUTPUTS = {
  binary: { act: 'sigmoid', loss: 'bce' },
  multiclass: { act: 'softmax', loss: 'cce' },
  multilabel: { act: 'sigmoid', loss: 'bce' },
  regression: { act: 'linear', loss: 'mse' },
} as const

const isHalfLine = (act: string): boolean =>
  ['relu', 'leakyRelu', 'elu', 'selu', 'gelu', 'silu', 'softplus'].includes(act)

/** A program drawn as someone who knows how would write it; whether it works is tried. */
interface Drawn {
  readonly data: DataSpec
  readonly program: ProgramSpec
  readonly task: NonNullable<Case['task']>
  readonly rows: number
}

interface Wish {
  task?: readonly string[]
  kinds?: readonly string[]
  depth?: readonly [number, number]
  acts?: readonly string[]
  width?: readonly [number, number]
  optimizer?: 'sgd-full'
}

const OPTIMIZERS: readonly ((d: Draw) => {
  optimizer: ProgramSpec['optimizer']
  batch: number | null
  steps: number
})[] = [
  (d) => ({ optimizer: { name: 'sgd', lr: d.between(0.05, 1) }, batch: null, steps: d.whole(150, 800) }),
  (d) => ({
    optimizer: { name: 'sgd', lr: d.between(0.02, 0.3) },
    batch: d.pick([16, 32, 64]),
    steps: d.whole(400, 1500),
  }),
  (d) => ({
    optimizer: { name: 'sgd', lr: d.between(0.005, 0.05), momentum: 0.9, nesterov: d.chance(0.3) },
    batch: d.pick([null, 16, 32]),
    steps: d.whole(200, 800),
  }),
  (d) => ({
    optimizer: { name: 'adam', lr: d.between(0.001, 0.02) },
    batch: d.pick([null, 16, 32, 64]),
    steps: d.whole(300, 1200),
  }),
  (d) => ({
    optimizer: { name: 'rmsprop', lr: d.between(0.001, 0.01) },
    batch: d.pick([16, 32]),
    steps: d.whole(300, 1000),
  }),
  (d) => ({
    optimizer: { name: 'adamw', lr: d.between(0.001, 0.01) },
    batch: d.pick([32, 64]),
    steps: d.whole(300, 1000),
  }),
]

function drawProgram(
  d: Draw,
  data: DataSpec,
  task: Drawn['task'],
  rows: number,
  outputs: number,
  wish: Wish,
): ProgramSpec {
  const [least, most] = wish.depth ?? [data.kind === 'plane' || data.kind === 'halves' ? 0 : 1, 4]
  const depth = Math.min(most, Math.max(least, d.pick([1, 1, 2, 2, 2, 3, 4, 0])))
  const act = d.pick(
    wish.acts ??
      (depth > 2
        ? ['relu', 'tanh', 'elu', 'gelu']
        : ['tanh', 'relu', 'relu', 'sigmoid', 'elu', 'leakyRelu', 'gelu', 'silu', 'selu', 'softplus']),
  )
  const [narrow, wide] = wish.width ?? [4, 200]
  const init = isHalfLine(act) ? d.pick(['he_uniform', 'he_normal']) : 'glorot_uniform'
  const { act: out, loss } = OUTPUTS[task]
  const { optimizer, batch, steps } = wish.optimizer === 'sgd-full' ? OPTIMIZERS[0](d) : d.pick(OPTIMIZERS)(d)
  const perEpoch = Math.ceil(rows / (batch ?? rows))
  const width = Math.round(d.between(narrow, wide))
  const layers = Array.from({ length: depth }, () => ({
    units: d.chance(0.5) ? width : Math.round(d.between(narrow, wide)),
    act,
    init: init as string,
  }))
  // About a quarter of a second of work at most.
  const sizes = [10, ...layers.map(({ units }) => units), outputs]
  const weights = sizes.slice(1).reduce((sum, units, i) => sum + units * sizes[i], 0)
  const budgeted = Math.max(40, Math.min(steps, 6e8 / (weights * (batch ?? rows))))
  return {
    layers: [...layers, { units: outputs, act: out, init: 'glorot_uniform' }],
    loss: task === 'regression' && d.chance(0.15) ? 'mae' : loss,
    optimizer,
    batch: batch !== null && batch >= rows ? null : batch,
    epochs: Math.max(1, Math.round(budgeted / perEpoch)),
  }
}

const draft = async (d: Draw, wish: Wish): Promise<Drawn> => {
  for (;;) {
    const data = d.pick(TASKS)(d)
    if (wish.kinds && !wish.kinds.includes(data.kind)) continue
    const made = await makeData(data, data.preprocess ?? {}, 1)
    if (wish.task && !wish.task.includes(made.task)) continue
    const outputs = made.labels?.[0].length ?? (made.task === 'multiclass' ? Math.max(...made.y) + 1 : 1)
    return {
      data,
      task: made.task,
      rows: made.x.length,
      program: drawProgram(d, data, made.task, made.x.length, outputs, wish),
    }
  }
}

/** Score of a program on the rows it was trained on, and on as many that it was not. */
async function scoresOf(
  test: Case,
  program: ProgramSpec,
  seed: number,
): Promise<{ train: number; fresh: number; chance: number }> {
  const made = await specimen(test, program, seed)
  const n = made.data.x.length
  const isWhole = test.data.n === 4 // the corners of a square: there are no others
  const more = await makeData(
    { ...test.data, n: isWhole ? n : n + FRESH },
    { ...test.data.preprocess, ...program.preprocess },
    seed,
  )
  const net = new FNN({ ...made.model, threads: 1 })
  const y = targetsOf(made.data)
  const { status } = await net.fit(made.data.x, y, made.fit)
  const told = (x: number[][], t: number[] | number[][]): number => {
    const { accuracy, r2 } = net.evaluate(x, t)
    return status === 'diverged' ? -1 : (accuracy ?? Math.max(-1, r2 ?? -1))
  }
  const [x, t] = [more.x.slice(n), targetsOf(more).slice(n)]
  const train = told(made.data.x, y)
  return { train, fresh: x.length < 20 ? train : told(x, t as number[]), chance: chanceOf(made.data) }
}
const FRESH = 300

function chanceOf(data: { y: number[]; labels?: number[][]; task: string }): number {
  if (data.task === 'regression') return 0
  const counts = new Map<string, number>()
  for (const k of data.labels ? data.labels.map(String) : data.y.map(String)) counts.set(k, (counts.get(k) ?? 0) + 1)
  return Math.max(...counts.values()) / (data.labels?.length ?? data.y.length)
}

/** What could be told of fresh rows: the better of a net and a linear model, both on standardised columns. */
async function referenceOf(test: Case, { task, rows }: Drawn, seed: number): Promise<number> {
  const { act: out, loss } = OUTPUTS[task]
  const outputs = test.program.layers.at(-1)!.units
  const programs = [[64, 32], []].map(
    (units): ProgramSpec => ({
      layers: [...units.map((n) => ({ units: n, act: 'relu', init: 'he_uniform' })), { units: outputs, act: out }],
      loss,
      optimizer: { name: 'adam', lr: 0.005 },
      batch: 32,
      epochs: Math.max(10, Math.round(1000 / Math.ceil(rows / 32))),
      preprocess: { ...test.data.preprocess, x: 'standardise' },
    }),
  )
  const told = await Promise.all(programs.map((program) => scoresOf(test, program, seed)))
  return Math.max(...told.map(({ fresh }) => fresh))
}

const asCase = ({ data, program, task }: Drawn, id = ''): Case => ({
  id,
  data,
  program,
  task,
  labels: [],
  fixed_program_overrides: null,
})

/** A program that does about as well as can be; of twins: that also learned enough for a loss of it to be seen. */
async function drawWell(d: Draw, wish: Wish, seed: number, isTwin: boolean): Promise<Drawn> {
  for (;;) {
    const drawn = await draft(d, wish)
    const test = asCase(drawn)
    const { train, fresh, chance } = await scoresOf(test, drawn.program, seed)
    if (isTwin && train < chance + 0.25) continue
    if (train < chance + 0.05) continue
    // Neither well nor sick: it ends well, and begins by rising.
    if (drawn.program.batch === null && (await peakOf(test, drawn.program, seed)) > 1.05) continue
    if (fresh >= (await referenceOf(test, drawn, seed)) - 0.07) return drawn
  }
}

// ---------------------------------------------------------------------------------------------------- faults

interface Fault {
  /** The program made sick; with `right`, of what the twin has otherwise; null where it does not apply. */
  readonly sick: Partial<ProgramSpec>
  readonly right?: Partial<ProgramSpec>
  readonly labels?: Labels
}

interface FaultRow {
  readonly id: string
  readonly wish?: Wish
  /** Holds by arithmetic, so that nothing need be seen in the score. */
  readonly isCertain?: true
  /** What to look for besides, or instead of, a lower score. */
  readonly holds?: (test: Case, twin: ProgramSpec, seed: number) => Promise<boolean>
  make(d: Draw, drawn: Drawn): Fault | null
}

type Layer = ProgramSpec['layers'][number]

const map = ({ program }: Drawn, change: (layer: Layer, i: number, last: number) => Partial<Layer>): Layer[] =>
  program.layers.map((layer, i) => ({ ...layer, ...change(layer, i, program.layers.length - 1) }))
const inner = (drawn: Drawn, change: Partial<Layer>): Layer[] => map(drawn, (_, i, last) => (i < last ? change : {}))
const outer = (drawn: Drawn, change: Partial<Layer>): Layer[] => map(drawn, (_, i, last) => (i === last ? change : {}))
const rated = ({ program }: Drawn, factor: number): Partial<ProgramSpec> => ({
  optimizer: { ...program.optimizer, lr: program.optimizer.lr * factor },
})

const CURVED = ['moons', 'spirals', 'xor', 'ball', 'waves', 'bowl', 'friedman']

/** Every id of the vocabulary. */
export const FAULTS: readonly FaultRow[] = [
  {
    id: 'bad_init_all_positive',
    wish: { depth: [1, 3], width: [32, 200] },
    make: (d, drawn) => {
      const init = { kind: 'uniform', lo: 0, hi: d.between(0.5, 3) }
      const where = d.pick(['all', 'hidden'])
      return {
        sick: { layers: map(drawn, (_, i, last) => (where === 'all' || i < last ? { init } : {})) },
        labels: ['bad_init_scale', 'exploding_forward', 'lr_above_one_step_limit'],
      }
    },
  },
  {
    id: 'bad_init_constant',
    wish: { depth: [1, 3], kinds: [...CURVED, 'pixels', 'blobs'] },
    make: (d, drawn) => ({
      sick: { layers: map(drawn, () => ({ init: { kind: 'constant', value: d.pick([0, 0, 0.01, 0.1, 0.5, 1]) } })) },
    }),
  },
  {
    id: 'bad_init_scale',
    wish: { depth: [1, 4], width: [16, 200] },
    make: (d, drawn) => {
      const std = d.chance(0.6) ? d.between(1, 20) : d.between(1e-5, 3e-3)
      return {
        sick: { layers: map(drawn, () => ({ init: { kind: 'normal', std } })) },
        labels: std >= 1 ? ['exploding_forward', 'lr_above_one_step_limit'] : ['vanishing_gradient'],
      }
    },
  },
  {
    id: 'dead_relu',
    wish: { depth: [1, 3], acts: ['relu'], width: [8, 100] },
    make: (d, drawn) => ({
      sick: d.chance(0.6)
        ? { layers: inner(drawn, { bias_init: { kind: 'constant', value: -d.between(3, 50) } }) }
        : {
            layers: inner(drawn, { init: { kind: 'normal', mean: -d.between(0.3, 3), std: 0.05 } }),
            preprocess: { x: { offset: d.between(1, 3), unit: true } },
          },
      labels: ['bad_init_scale', 'bad_init_all_positive'],
    }),
  },
  {
    id: 'exploding_forward',
    wish: { depth: [3, 5], acts: ['relu', 'leakyRelu', 'elu', 'gelu'], width: [16, 100] },
    make: (d, drawn) => ({
      sick: {
        layers: map(drawn, ({ init }, i, last) => ({
          init: i < last ? { kind: 'normal', std: d.between(1, 4) } : init,
        })),
      },
      labels: ['bad_init_scale', 'lr_above_one_step_limit'],
    }),
  },
  {
    id: 'forward_wrong',
    isCertain: true,
    wish: { depth: [1, 3] },
    make: (d) => ({ sick: { grad_bug: d.pick(['forward', 'forward_logits', 'forward_activation', 'forward_bias']) } }),
  },
  {
    id: 'gradient_sign',
    isCertain: true,
    make: (d) => ({ sick: { grad_bug: d.pick(['sign', 'sign_by_tensor', 'sign_update']) } }),
  },
  {
    id: 'gradient_wrong',
    isCertain: true,
    wish: { depth: [1, 3], width: [4, 60] },
    make: (d) => ({
      sick: {
        grad_bug: d.pick([
          'missing_mean',
          'first_layer_half',
          'bias_grad_summed_over_units',
          'transposed',
          'no_bias',
          'noise',
          'relu_for_all',
        ]),
      },
    }),
  },
  {
    id: 'input_scale',
    wish: {
      kinds: [
        'blobs',
        'moons',
        'ball',
        'halves',
        'cancerPart',
        'asker',
        'friedman',
        'waves',
        'bowl',
        'plane',
        'pixels',
      ],
    },
    make: (d) => ({
      sick: {
        preprocess: {
          x: d.pick([
            () => ({ unit: true, scale: d.between(20, 1000) }),
            () => ({ unit: true, offset: d.between(10, 300) }),
            () => ({ unit: true, columns: [d.between(30, 1000), 1, 1] }),
            () => ({ unit: true, scale: d.between(1e-4, 0.02) }),
            () => ({ unit: true, columns: [1, d.between(30, 300), d.between(0.01, 1)], offset: d.between(1, 50) }),
          ])(),
        },
      },
      right: { preprocess: { x: 'standardise' } },
      labels: ['lr_too_high', 'lr_above_one_step_limit', 'lr_too_low'],
    }),
  },
  {
    id: 'labels_shuffled',
    isCertain: true,
    wish: {
      task: ['binary', 'multiclass', 'regression'],
      kinds: [
        'blobs',
        'moons',
        'spirals',
        'ball',
        'halves',
        'pixels',
        'cancerPart',
        'asker',
        'plane',
        'waves',
        'friedman',
      ],
    },
    make: () => ({ sick: { preprocess: { y: 'shuffle' } } }),
  },
  {
    id: 'loss_broadcast',
    isCertain: true,
    wish: { task: ['regression'] },
    make: (d) => ({
      sick: { loss: 'mse', grad_bug: d.pick(['broadcast_loss', 'broadcast_gradient', 'broadcast_both']) },
    }),
  },
  {
    id: 'loss_mismatch',
    make: (d, drawn) => {
      if (drawn.task === 'regression')
        return { sick: { loss: 'bce', layers: outer(drawn, { act: 'sigmoid' }) }, labels: ['wrong_output_activation'] }
      return {
        sick: { loss: d.pick(['mse', 'mae']), ...(d.chance(0.3) && { layers: outer(drawn, { act: 'linear' }) }) },
        labels: ['wrong_output_activation'],
      }
    },
  },
  {
    id: 'loss_reduction_sum',
    wish: { task: ['binary', 'multiclass', 'regression'], optimizer: 'sgd-full' },
    make: (_, { task }) => ({
      sick: { loss: { binary: 'bce_sum', multiclass: 'cce_sum', regression: 'sse', multilabel: 'bce_sum' }[task] },
      right: { loss: OUTPUTS[task].loss },
      labels: ['lr_too_high', 'lr_above_one_step_limit'],
    }),
  },
  {
    id: 'lr_above_one_step_limit',
    wish: { optimizer: 'sgd-full', depth: [0, 3] },
    make: (d, drawn) => ({ sick: rated(drawn, d.between(5, 100)), labels: ['lr_too_high'] }),
    holds: risesAtFirst,
  },
  {
    id: 'lr_too_high',
    make: (d, drawn) => ({ sick: rated(drawn, d.between(10, 1000)), labels: ['lr_above_one_step_limit'] }),
  },
  { id: 'lr_too_low', make: (d, drawn) => ({ sick: rated(drawn, d.between(1e-5, 0.03)), labels: ['too_few_epochs'] }) },
  {
    id: 'minibatch_noise',
    make: (d, drawn) => {
      const epochs = d.whole(5, 15)
      if (drawn.rows < 80) return null
      const lr = drawn.program.optimizer.lr * d.between(1, 20)
      const right = { batch: 64, epochs: epochs * 4, optimizer: { ...drawn.program.optimizer, lr } }
      return { sick: { ...right, batch: d.pick([1, 1, 2]), epochs }, right, labels: ['lr_too_high'] }
    },
  },
  {
    id: 'missing_activation',
    wish: { kinds: ['moons', 'spirals', 'xor', 'ball', 'waves', 'bowl'], depth: [1, 3] },
    make: (_, drawn) => ({ sick: { layers: inner(drawn, { act: 'linear' }) } }),
  },
  {
    id: 'missing_bias',
    wish: { depth: [0, 3] },
    make: (d, drawn) => ({
      sick: {
        layers: map(drawn, () => ({ bias: false })),
        ...(drawn.task === 'regression' &&
          d.chance(0.7) && { preprocess: { y: { unit: true, offset: d.between(1, 5) } } }),
      },
      right: drawn.task === 'regression' ? {} : {},
    }),
  },
  {
    id: 'numerical_log_of_zero',
    wish: { task: ['binary', 'multilabel'], depth: [1, 3] },
    make: (d, drawn) => ({
      sick: {
        loss: 'bce_unclipped',
        ...d.pick([
          () => rated(drawn, d.between(30, 1000)),
          () => ({ layers: map(drawn, () => ({ init: { kind: 'normal', std: d.between(3, 30) } })) }),
          () => ({ preprocess: { x: { unit: true, scale: d.between(100, 1000) } } }),
        ])(),
      },
      labels: ['lr_too_high', 'lr_above_one_step_limit', 'bad_init_scale', 'input_scale'],
    }),
    holds: diverges,
  },
  {
    id: 'optimizer_eps',
    make: (d, { program: { optimizer } }) =>
      d.chance(0.3)
        ? {
            sick: {
              optimizer: { ...optimizer, name: 'sgd', nesterov: false, momentum: d.pick([0.995, 0.999, 0.9999]) },
            },
            right: { optimizer: { ...optimizer, name: 'sgd', momentum: 0.9 } },
            labels: ['lr_too_high'],
          }
        : optimizer.name === 'sgd'
          ? null
          : {
              sick: {
                optimizer: {
                  ...optimizer,
                  ...(d.chance(0.75) || optimizer.name === 'rmsprop'
                    ? { epsilon: d.between(0.3, 1000) }
                    : { beta1: d.pick([0.999, 0.9999]) }),
                },
              },
              labels: ['lr_too_low'],
            },
  },
  {
    id: 'over_regularised',
    make: (d, drawn) =>
      d.pick([
        (): Fault => ({ sick: { l2: d.between(0.1, 30) } }),
        (): Fault => ({ sick: { layers: inner(drawn, { dropout: 0.8 + 0.19 * d.uniform() }) } }),
        (): Fault | null =>
          drawn.program.optimizer.name === 'adamw'
            ? { sick: { optimizer: { ...drawn.program.optimizer, weightDecay: d.between(5, 200) } } }
            : null,
        (): Fault | null =>
          drawn.program.optimizer.name === 'sgd'
            ? { sick: { optimizer: { ...drawn.program.optimizer, weightDecay: d.between(0.1, 3) } } }
            : null,
      ])(),
  },
  {
    id: 'single_class_labels',
    isCertain: true,
    wish: { task: ['binary', 'multiclass'] },
    make: () => ({ sick: { preprocess: { y: 'oneClass' } } }),
  },
  {
    id: 'target_scale',
    wish: { task: ['regression'] },
    make: (d) => ({
      sick: {
        preprocess: {
          y: d.pick([
            () => ({ unit: true, scale: d.between(30, 1e5) }),
            () => ({ unit: true, offset: d.between(20, 1000) }),
            () => ({ unit: true, scale: d.between(20, 1000), offset: d.between(100, 5000) }),
          ])(),
        },
      },
      right: { preprocess: { y: 'standardise' } },
      labels: ['lr_too_high', 'lr_above_one_step_limit'],
    }),
  },
  {
    id: 'too_few_epochs',
    make: (d, { program }) => ({
      sick: { epochs: Math.max(1, Math.round(program.epochs * d.between(0.002, 0.1))) },
      labels: ['lr_too_low'],
    }),
  },
  {
    id: 'under_regularised',
    wish: { kinds: ['blobs', 'halves', 'plane', 'asker', 'moons', 'cancerPart'], depth: [1, 3], width: [32, 200] },
    make: (d, drawn) => ({
      sick: {
        validation: d.pick([0.3, 0.5]),
        epochs: drawn.program.epochs * d.whole(2, 8),
        optimizer: { name: 'adam', lr: d.between(0.002, 0.02) },
      },
      right: {
        validation: 0.3,
        epochs: Math.max(2, Math.round(drawn.program.epochs / 6)),
        optimizer: { name: 'adam', lr: 0.002 },
      },
    }),
    holds: partsCompany,
  },
  {
    id: 'vanishing_gradient',
    make: (d, drawn) => {
      const depth = d.whole(4, 8)
      const units = d.pick([8, 16, 32])
      const [out] = drawn.program.layers.slice(-1)
      const of = (act: string, init: Layer['init']): Layer[] => [
        ...Array.from({ length: depth }, () => ({ units, act, init })),
        out,
      ]
      const bad = d.chance(0.7)
      return {
        sick: {
          layers: bad ? of('sigmoid', 'glorot_uniform') : of('tanh', { kind: 'normal', std: d.between(0.01, 0.05) }),
        },
        right: { layers: bad ? of('relu', 'he_normal') : of('tanh', 'glorot_uniform') },
        ...(!bad && { labels: ['bad_init_scale'] }),
      }
    },
  },
  {
    id: 'wrong_output_activation',
    make: (d, drawn) => {
      if (drawn.task === 'binary')
        return { sick: { layers: outer(drawn, { act: d.pick(['softmax', 'relu', 'softmax']) }) } }
      if (drawn.task === 'multiclass')
        return {
          sick: { layers: outer(drawn, { act: d.pick(['relu', 'tanh']) }), ...(d.chance(0.5) && { loss: 'mse' }) },
          labels: ['loss_mismatch', 'numerical_log_of_zero'],
        }
      if (drawn.task === 'regression')
        return {
          sick: {
            layers: outer(drawn, { act: d.pick(['relu', 'sigmoid', 'softmax', 'tanh']) }),
            ...(d.chance(0.4) && {
              preprocess: { y: { unit: true, scale: d.between(1, 5), offset: 5 * d.uniform() - 1 } },
            }),
          },
        }
      return null
    },
  },
]

async function lossesOf(test: Case, program: ProgramSpec, seed: number) {
  const made = await specimen(test, program, seed)
  return new FNN({ ...made.model, threads: 1 }).fit(made.data.x, targetsOf(made.data), made.fit)
}

/** The highest loss of the first steps, in units of the first. */
async function peakOf(test: Case, program: ProgramSpec, seed: number): Promise<number> {
  const { loss, status } = await lossesOf(test, { ...program, epochs: Math.min(program.epochs, 15) }, seed)
  return status === 'diverged' ? Number.POSITIVE_INFINITY : Math.max(...loss) / loss[0]
}

/** The first steps raise the loss well above where it began, and those of the twin do not. */
async function risesAtFirst(test: Case, twin: ProgramSpec, seed: number): Promise<boolean> {
  return (await peakOf(test, test.program, seed)) > 1.5 && (await peakOf(test, twin, seed)) <= 1.01
}

async function diverges(test: Case, _: ProgramSpec, seed: number): Promise<boolean> {
  return (await lossesOf(test, test.program, seed)).status === 'diverged'
}

/**
 * The validation loss ends well above its lowest, by a good part of what it began with, while the training loss falls;
 * and the twin's does not.
 */
async function partsCompany(test: Case, twin: ProgramSpec, seed: number): Promise<boolean> {
  const [sick, well] = [await riseOf(test, test.program, seed), await riseOf(test, twin, seed)]
  return sick.ratio > 1.5 && sick.rise > 0.3 && well.ratio < 1.1
}

/** The last validation loss over the lowest, and how far apart they are in units of the first loss; 1 and 0 without. */
async function riseOf(test: Case, program: ProgramSpec, seed: number) {
  const { valLoss, loss } = await lossesOf(test, program, seed)
  if (!valLoss || valLoss.length < 5) return { ratio: 1, rise: 0 }
  const lowest = valLoss.indexOf(Math.min(...valLoss))
  const end = valLoss[valLoss.length - 1]
  if (loss[loss.length - 1] > 0.7 * loss[lowest]) return { ratio: 1, rise: 0 }
  return { ratio: end / valLoss[lowest], rise: (end - valLoss[lowest]) / loss[0] }
}

/** Below its twin by so much, a program is sick. */
const SICK = 0.15
/** Draws that are given up after so many; none of the faults needs nearly as many. */
const MOST_DRAWS = 60

/** The sick program of `id` that `seed` draws, with its twin; null where none was found. It is sick under that seed. */
export async function drawSick(id: string, seed: number): Promise<Case | null> {
  const row = FAULTS.find((fault) => fault.id === id)!
  const d = drawFrom(seed * 64 + FAULTS.indexOf(row))
  for (let i = 0; i < MOST_DRAWS; i++) {
    const drawn = await drawWell(d, row.wish ?? {}, seed, true)
    const fault = row.make(d, drawn)
    if (fault === null) continue
    const right = { ...drawn.program, ...fault.right }
    const test: Case = {
      id: `${id} on ${drawn.data.kind} ${seed}`,
      data: drawn.data,
      task: drawn.task,
      program: { ...right, ...fault.sick },
      labels: [id, ...(fault.labels ?? [])],
      fixed_program_overrides: { preprocess: {}, grad_bug: null, l2: 0, ...right },
    }
    const reference = fault.right && !row.holds ? await referenceOf(test, drawn, seed) : Number.NEGATIVE_INFINITY
    if (row.isCertain || (await isSick(test, right, row, seed, reference))) return test
  }
  return null
}

async function isSick(
  test: Case,
  right: ProgramSpec,
  { holds }: FaultRow,
  seed: number,
  reference: number,
): Promise<boolean> {
  if (holds && !(await holds(test, right, seed))) return false
  const [sick, well] = [await scoreOf(await specimen(test, test.program, seed)), await scoresOf(test, right, seed)]
  if (well.train < well.chance + 0.2) return false
  // A twin that was set right in other ways as well should be well, too.
  if (well.fresh < reference - 0.1) return false
  return holds !== undefined || sick <= well.train - SICK
}

/** A healthy program that `seed` draws. */
export async function drawHealthy(seed: number): Promise<Case> {
  const d = drawFrom(seed * 64 + 63)
  const drawn = await drawWell(d, {}, seed, false)
  const extra: Partial<ProgramSpec> = d.pick([
    () => ({}),
    () => ({}),
    () => ({ l2: d.between(1e-5, 1e-3) }),
    () => ({ layers: inner(drawn, { dropout: 0.1 + 0.2 * d.uniform() }) }),
    () => ({ validation: 0.2 }),
    () => ({ ...rated(drawn, d.between(0.5, 2)) }),
  ])()
  const changed = { ...drawn, program: { ...drawn.program, ...extra } }
  const test = asCase(changed, `healthy ${drawn.data.kind} ${seed}`)
  const [was, is] = [await scoresOf(test, drawn.program, seed), await scoresOf(test, changed.program, seed)]
  const isWell = is.fresh >= was.fresh - 0.03 && (await riseOf(test, changed.program, seed)).ratio < 1.2
  const isCalm = changed.program.batch !== null || (await peakOf(test, changed.program, seed)) <= 1.05
  return isWell && isCalm ? test : asCase(drawn, test.id)
}
