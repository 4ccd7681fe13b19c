/**
 * Optimizers: chains of passes over the one gradient vector. A row says which passes, and how many vectors of state they
 * keep; nothing else in the library knows an optimizer by name.
 *
 * Defaults and conventions are PyTorch's: momentum without dampening (m = β·m + g), weight decay of sgd, rmsprop and
 * adagrad coupled (added to the gradient), of adamw and lion decoupled (taken from the weights), all parameters decayed
 * alike.
 */
import { expected, refuseUnknown } from './errors'
import { checkBoolean, checkName, checkNumber, type NumberRange, RANGES } from './names'
import { align, type Instruction, type Range } from './plan/plan'
import { nadamWeights, type StepForm } from './step-form'

export type OptimizerName =
  | 'sgd'
  | 'rmsprop'
  | 'adagrad'
  | 'adam'
  | 'amsgrad'
  | 'nadam'
  | 'adamw'
  | 'lion'
  | 'muon'
  | 'lbfgs'

/** An optimizer with its options filled in: plain data, saved as it is. */
export interface OptimizerSpec {
  readonly kind: OptimizerName
  /** The factory's own rate, where one was given; `fit`'s comes before it. */
  readonly learningRate?: number
  readonly settings: Readonly<Record<string, number>>
}

/** Where an optimizer works: parameters, their gradients, and its state, vector after vector. */
export interface OptimizerSite {
  readonly weights: Range
  readonly gradients: Range
  /** Weight matrices between layers: those of all layers but the last that has any, where neither side is 1. */
  readonly hidden: readonly Matrix[]
  /** Offset of the i-th vector of state. */
  state(i: number): number
  /** Offset of so many floats of scratch. */
  scratch(floats: number): number
}

/** A matrix among the parameters. */
export interface Matrix {
  readonly at: number
  readonly rows: number
  readonly columns: number
}

interface Setting {
  readonly range: NumberRange | 'boolean'
  readonly default: number
}

/** One optimizer. */
export interface Optimizer {
  readonly name: OptimizerName
  readonly synopsis: string
  readonly learningRate: number
  readonly settings: Readonly<Record<string, Setting>>
  /** Vectors of state, each as long as the parameters. */
  stateVectors(settings: Readonly<Record<string, number>>): number
  passes(settings: Readonly<Record<string, number>>, site: OptimizerSite): Instruction[]
  /** A step is no chain of passes but a search along a line, on all rows (train/search.ts). @default false */
  readonly isSearch?: true
  /** What the passes do, as a formula; test/optimizers.test.ts holds each to the other. null: it is not of that form. */
  form(settings: Readonly<Record<string, number>>): StepForm | null
  /**
   * The largest product of rate and eigenvalue of P⁻¹H, P held as it is, under which deviations from a stationary point
   * die out: where the mode that changes sign from step to step, −1, is a root of the recursion's characteristic
   * polynomial, at the constants that step k has, bias corrections over. Polyak 1964; for Nesterov and Adam Cohen et al.,
   * arXiv 2103.00065 and 2207.14484. NaN where the update is no linear function of small deviations.
   */
  threshold(settings: Readonly<Record<string, number>>, k: number): number
}

// ---------------------------------------------------------------------------------------------------- passes

const descend = ({ weights, gradients }: OptimizerSite): Instruction => ({
  op: 'descend',
  w: weights.at,
  g: gradients.at,
  n: weights.length,
})

/** λ·w added to the gradient; nothing where λ is 0. */
const coupled = ({ weights, gradients }: OptimizerSite, lambda: number): Instruction[] =>
  lambda === 0 ? [] : [{ op: 'coupleDecay', w: weights.at, g: gradients.at, n: weights.length, lambda }]

/** η·λ·w taken from the weights; nothing where λ is 0. */
const decoupled = ({ weights }: OptimizerSite, lambda: number): Instruction[] =>
  lambda === 0 ? [] : [{ op: 'decayWeights', w: weights.at, n: weights.length, lambda }]

const adamOperands = ({ gradients, state }: OptimizerSite, s: Readonly<Record<string, number>>) => ({
  g: gradients.at,
  m: state(0),
  v: state(1),
  n: gradients.length,
  beta1: s.beta1,
  beta2: s.beta2,
  epsilon: s.epsilon,
})

const scaleByAdam = (site: OptimizerSite, s: Readonly<Record<string, number>>): Instruction => ({
  op: 'scaleByAdam',
  ...adamOperands(site, s),
})

/** v a running mean of squares, as it is. */
const meanSquare = (state: number, decay: number, epsilon: number) => ({
  state,
  largest: null,
  decay,
  share: 1 - decay,
  isCorrected: false,
  initial: 0,
  epsilon,
})

/** Momentum of one matrix, then its orthogonal factor, as long in the mean as adam's updates are (Liu et al. 2025, §2.2). */
function orthogonal(matrix: Matrix, site: OptimizerSite, s: Readonly<Record<string, number>>): Instruction[] {
  const { at, rows: I, columns: O } = matrix
  const n = I * O
  const g = site.gradients.at + at
  const work = site.scratch(n + 2 * Math.min(I, O) ** 2)
  return [
    { op: 'momentum', g, m: site.state(0) + at, n, beta: s.momentum, nesterov: s.nesterov },
    { op: 'orthogonalize', g, I, O, work, steps: s.steps, scale: 0.2 * Math.sqrt(Math.max(I, O)) },
  ]
}

/** The ranges of the parameters, offsets within them, that lie between hidden matrices. */
function besides({ weights, hidden }: OptimizerSite): Range[] {
  const ranges: Range[] = []
  let from = 0
  for (const { at, rows, columns } of [...hidden, { at: weights.length, rows: 0, columns: 0 }]) {
    if (at > from) ranges.push({ at: from, length: at - from })
    from = at + align(rows * columns)
  }
  return ranges
}

/** A part of a site. */
function within(site: OptimizerSite, { at, length }: Range): OptimizerSite {
  return {
    ...site,
    weights: { at: site.weights.at + at, length },
    gradients: { at: site.gradients.at + at, length },
    state: (i) => site.state(i) + at,
  }
}

/** Adam's: both means corrected for their start at zero. */
const formOfAdam = (s: Readonly<Record<string, number>>): StepForm => ({
  gradient: (k) => (1 - s.beta1) / (1 - s.beta1 ** k),
  memory: { state: 0, weight: (k) => s.beta1 / (1 - s.beta1 ** k) },
  preconditioner: { ...meanSquare(1, s.beta2, s.epsilon), isCorrected: true },
  coupledDecay: 0,
  decoupledDecay: s.weightDecay ?? 0,
})

const thresholdOfAdam = ({ beta1 }: Readonly<Record<string, number>>): number => (2 + 2 * beta1) / (1 - beta1)

// ---------------------------------------------------------------------------------------------------- rows

const ADAM_SETTINGS = {
  beta1: { range: RANGES.fraction, default: 0.9 },
  beta2: { range: RANGES.fraction, default: 0.999 },
  epsilon: { range: RANGES.positive, default: 1e-8 },
}

const ROWS: readonly Optimizer[] = [
  {
    name: 'sgd',
    synopsis: 'gradient descent, with momentum β and Nesterov’s look-ahead where asked for',
    learningRate: 0.01,
    settings: {
      momentum: { range: RANGES.fraction, default: 0 },
      nesterov: { range: 'boolean', default: 0 },
      weightDecay: { range: RANGES.notNegative, default: 0 },
    },
    stateVectors: (s) => (s.momentum > 0 ? 1 : 0),
    passes: (s, site) => [
      ...coupled(site, s.weightDecay),
      ...(s.momentum > 0
        ? [
            {
              op: 'momentum',
              g: site.gradients.at,
              m: site.state(0),
              n: site.gradients.length,
              beta: s.momentum,
              nesterov: s.nesterov,
            } as const,
          ]
        : []),
      descend(site),
    ],
    // m = β·m + g;  u = nesterov ? g + β·m : m
    form: ({ momentum, nesterov, weightDecay }) => ({
      gradient: () => (nesterov ? 1 + momentum : 1),
      memory: momentum > 0 ? { state: 0, weight: () => (nesterov ? momentum * momentum : momentum) } : null,
      preconditioner: null,
      coupledDecay: weightDecay,
      decoupledDecay: 0,
    }),
    threshold: ({ momentum, nesterov }) => (2 + 2 * momentum) / (nesterov ? 1 + 2 * momentum : 1),
  },
  {
    name: 'rmsprop',
    synopsis: 'gradients divided by the root of their running mean square (Hinton 2012)',
    learningRate: 0.01,
    settings: {
      decay: { range: RANGES.fraction, default: 0.99 },
      epsilon: { range: RANGES.positive, default: 1e-8 },
      weightDecay: { range: RANGES.notNegative, default: 0 },
    },
    stateVectors: () => 1,
    passes: (s, site) => [
      ...coupled(site, s.weightDecay),
      {
        op: 'scaleByRms',
        g: site.gradients.at,
        v: site.state(0),
        n: site.gradients.length,
        decay: s.decay,
        epsilon: s.epsilon,
      },
      descend(site),
    ],
    form: ({ decay, epsilon, weightDecay }) => ({
      gradient: () => 1,
      memory: null,
      preconditioner: meanSquare(0, decay, epsilon),
      coupledDecay: weightDecay,
      decoupledDecay: 0,
    }),
    threshold: () => 2,
  },
  {
    name: 'adagrad',
    synopsis: 'gradients divided by the root of the sum of their squares so far (Duchi et al. 2011)',
    learningRate: 0.01,
    settings: {
      epsilon: { range: RANGES.positive, default: 1e-10 },
      initialAccumulator: { range: RANGES.notNegative, default: 0 },
      lrDecay: { range: RANGES.notNegative, default: 0 },
      weightDecay: { range: RANGES.notNegative, default: 0 },
    },
    stateVectors: () => 1,
    passes: (s, site) => [
      ...coupled(site, s.weightDecay),
      {
        op: 'scaleByAdagrad',
        g: site.gradients.at,
        v: site.state(0),
        n: site.gradients.length,
        initial: s.initialAccumulator,
        epsilon: s.epsilon,
        slowing: s.lrDecay,
      },
      descend(site),
    ],
    form: ({ epsilon, initialAccumulator, lrDecay, weightDecay }) => ({
      gradient: (k) => 1 / (1 + lrDecay * (k - 1)),
      memory: null,
      preconditioner: { ...meanSquare(0, 1, epsilon), share: 1, initial: initialAccumulator },
      coupledDecay: weightDecay,
      decoupledDecay: 0,
    }),
    threshold: ({ lrDecay }, k) => 2 * (1 + lrDecay * (k - 1)),
  },
  {
    name: 'adam',
    synopsis:
      'running means of gradient and square, both corrected for their start (Kingma & Ba 2015, ε outside the root)',
    learningRate: 0.001,
    settings: ADAM_SETTINGS,
    stateVectors: () => 2,
    passes: (s, site) => [scaleByAdam(site, s), descend(site)],
    form: formOfAdam,
    threshold: thresholdOfAdam,
  },
  {
    name: 'amsgrad',
    synopsis: 'adam whose divisor never shrinks: the largest mean square so far (Reddi et al. 2018)',
    learningRate: 0.001,
    settings: ADAM_SETTINGS,
    stateVectors: () => 3,
    passes: (s, site) => [{ op: 'scaleByAmsgrad', ...adamOperands(site, s), most: site.state(2) }, descend(site)],
    form: (s) => {
      const adam = formOfAdam(s)
      return { ...adam, preconditioner: adam.preconditioner && { ...adam.preconditioner, largest: 2 } }
    },
    threshold: thresholdOfAdam,
  },
  {
    name: 'nadam',
    synopsis: 'adam with Nesterov’s look-ahead and a momentum that grows into β1 (Dozat 2016)',
    learningRate: 0.001,
    settings: { ...ADAM_SETTINGS, momentumDecay: { range: RANGES.notNegative, default: 0.004 } },
    stateVectors: () => 2,
    passes: (s, site) => [{ op: 'scaleByNadam', ...adamOperands(site, s), psi: s.momentumDecay }, descend(site)],
    // u = c·g + d·(β1·m + (1−β1)·g)
    form: (s) => {
      const weights = nadamWeights(s.beta1, s.momentumDecay)
      return {
        ...formOfAdam(s),
        gradient: (k) => weights(k).gradient + weights(k).memory * (1 - s.beta1),
        memory: { state: 0, weight: (k) => weights(k).memory * s.beta1 },
      }
    },
    // At −1 the mean of gradients is (1−β1)/(1+β1) of the gradient.
    threshold: ({ beta1, momentumDecay }, k) => {
      const { momentum: mu } = nadamWeights(beta1, momentumDecay)(k)
      return 2 / (1 - mu + (mu * (1 - beta1)) / (1 + beta1))
    },
  },
  {
    name: 'adamw',
    synopsis: 'adam with decoupled weight decay (Loshchilov & Hutter 2019)',
    learningRate: 0.001,
    settings: { ...ADAM_SETTINGS, weightDecay: { range: RANGES.notNegative, default: 0.01 } },
    stateVectors: () => 2,
    passes: (s, site) => [...decoupled(site, s.weightDecay), scaleByAdam(site, s), descend(site)],
    form: formOfAdam,
    threshold: thresholdOfAdam,
  },
  {
    name: 'lion',
    synopsis:
      'the sign of a mean of gradients, of one size in every direction, with decoupled weight decay (Chen et al. 2023)',
    learningRate: 0.0001,
    settings: {
      beta1: { range: RANGES.fraction, default: 0.9 },
      beta2: { range: RANGES.fraction, default: 0.99 },
      weightDecay: { range: RANGES.notNegative, default: 0 },
    },
    stateVectors: () => 1,
    passes: (s, site) => [
      ...decoupled(site, s.weightDecay),
      {
        op: 'signOfMomentum',
        g: site.gradients.at,
        m: site.state(0),
        n: site.gradients.length,
        beta1: s.beta1,
        beta2: s.beta2,
      },
      descend(site),
    ],
    form: () => null,
    threshold: () => Number.NaN,
  },
  {
    name: 'muon',
    synopsis:
      'momentum made orthogonal, for weight matrices between layers; adamw for all else (Jordan et al. 2024, scaled as in Liu et al. 2025)',
    learningRate: 0.001,
    settings: {
      momentum: { range: RANGES.fraction, default: 0.95 },
      nesterov: { range: 'boolean', default: 1 },
      steps: { range: RANGES.count, default: 5 },
      beta1: { range: RANGES.fraction, default: 0.9 },
      beta2: { range: RANGES.fraction, default: 0.999 },
      epsilon: { range: RANGES.positive, default: 1e-8 },
      weightDecay: { range: RANGES.notNegative, default: 0.01 },
    },
    stateVectors: () => 2,
    passes: (s, site) => [
      ...decoupled(site, s.weightDecay),
      ...site.hidden.flatMap((matrix) => orthogonal(matrix, site, s)),
      ...besides(site).map((range) => scaleByAdam(within(site, range), s)),
      descend(site),
    ],
    form: () => null,
    threshold: () => Number.NaN,
  },
  {
    name: 'lbfgs',
    synopsis:
      'quasi-Newton steps from the last few gradients, as far as a strong-Wolfe line search goes; full batches (Liu & Nocedal 1989)',
    learningRate: 1,
    settings: {
      history: { range: RANGES.count, default: 10 },
      maxLineSearch: { range: RANGES.count, default: 20 },
      tolerance: { range: RANGES.notNegative, default: 1e-5 },
      toleranceChange: { range: RANGES.notNegative, default: 2.2e-9 },
    },
    stateVectors: ({ history }) => 2 * history,
    passes: () => [],
    isSearch: true,
    form: () => null,
    threshold: () => Number.NaN,
  },
]

/** All optimizers by name. */
export const OPTIMIZERS: ReadonlyMap<OptimizerName, Optimizer> = new Map(ROWS.map((row) => [row.name, row]))

/** The row of an optimizer. */
export function optimizerRow(spec: OptimizerSpec): Optimizer {
  return OPTIMIZERS.get(spec.kind) as Optimizer
}

// ---------------------------------------------------------------------------------------------------- factories

/**
 * A checked optimizer from a name or from what a factory returned.
 * @throws ERR_OPTION for an unknown name or a bad option
 */
export function readOptimizer(value: unknown): OptimizerSpec {
  const names = [...OPTIMIZERS.keys()]
  if (typeof value === 'string') return make(checkName(value, names, 'optimizer'), {})
  if (typeof value === 'object' && value !== null && 'kind' in value) {
    const { kind, settings, learningRate } = value as { kind: unknown; settings?: unknown; learningRate?: unknown }
    return make(checkName(kind, names, 'optimizer'), { ...(settings as object), learningRate })
  }
  throw expected('an optimizer such as "sgd" or adam({ … })', 'optimizer', value)
}

function make(kind: OptimizerName, options: object): OptimizerSpec {
  const row = OPTIMIZERS.get(kind) as Optimizer
  refuseUnknown(options, ['learningRate', ...Object.keys(row.settings)], kind)
  const given = options as Record<string, unknown>
  const settings: Record<string, number> = {}
  for (const [name, setting] of Object.entries(row.settings)) {
    const value = given[name]
    if (value === undefined) settings[name] = setting.default
    else if (setting.range === 'boolean')
      settings[name] = value === 0 || value === 1 ? value : Number(checkBoolean(value, `${name} of ${kind}`))
    else settings[name] = checkNumber(value, setting.range, `${name} of ${kind}`)
  }
  if (given.learningRate === undefined) return { kind, settings }
  return {
    kind,
    settings,
    learningRate: checkNumber(given.learningRate, RANGES.notNegative, `learningRate of ${kind}`),
  }
}

interface RateOption {
  /** Used where `fit` is given none; ≥ 0. */
  learningRate?: number
}

/** Gradient descent. momentum in [0, 1), default 0; weightDecay ≥ 0, coupled, default 0. Rate 0.01 by default. */
export const sgd = (options: RateOption & { momentum?: number; nesterov?: boolean; weightDecay?: number } = {}) =>
  make('sgd', options)
/** decay in [0, 1), default 0.99; epsilon 1e-8; weightDecay ≥ 0, coupled. Rate 0.01 by default. */
export const rmsprop = (options: RateOption & { decay?: number; epsilon?: number; weightDecay?: number } = {}) =>
  make('rmsprop', options)
/**
 * epsilon 1e-10; initialAccumulator ≥ 0, where the sums of squares begin, default 0; lrDecay ≥ 0, default 0: the rate of
 * step k is divided by 1 + lrDecay·(k − 1); weightDecay ≥ 0, coupled. Rate 0.01 by default.
 */
export const adagrad = (
  options: RateOption & {
    epsilon?: number
    initialAccumulator?: number
    lrDecay?: number
    weightDecay?: number
  } = {},
) => make('adagrad', options)
/** beta1 0.9, beta2 0.999, epsilon 1e-8. Rate 0.001 by default. */
export const adam = (options: RateOption & { beta1?: number; beta2?: number; epsilon?: number } = {}) =>
  make('adam', options)
/** As adam. Rate 0.001 by default. */
export const amsgrad = (options: RateOption & { beta1?: number; beta2?: number; epsilon?: number } = {}) =>
  make('amsgrad', options)
/** As adam, and momentumDecay ≥ 0, default 0.004, of which the momentum grows into beta1. Rate 0.001 by default. */
export const nadam = (
  options: RateOption & { beta1?: number; beta2?: number; epsilon?: number; momentumDecay?: number } = {},
) => make('nadam', options)
/** As adam, and weightDecay ≥ 0, decoupled, default 0.01. Rate 0.001 by default. */
export const adamw = (
  options: RateOption & { beta1?: number; beta2?: number; epsilon?: number; weightDecay?: number } = {},
) => make('adamw', options)
/** beta1 0.9, beta2 0.99; weightDecay ≥ 0, decoupled, default 0. Rate 0.0001 by default: all steps are of that size. */
export const lion = (options: RateOption & { beta1?: number; beta2?: number; weightDecay?: number } = {}) =>
  make('lion', options)
/**
 * history 10, the steps remembered; maxLineSearch 20, evaluations a step; it rests where no entry of the gradient is above
 * tolerance, 1e-5, or a step lowers the objective by no more than toleranceChange, 2.2e-9, of itself (scipy's defaults).
 * An epoch is a step. The rate, 1 by default, is the first length that a search tries; the history has that it found.
 */
export const lbfgs = (
  options: RateOption & {
    history?: number
    maxLineSearch?: number
    tolerance?: number
    toleranceChange?: number
  } = {},
) => make('lbfgs', options)
/**
 * For weight matrices between layers: momentum 0.95, nesterov true, steps 5 of the Newton–Schulz iteration. For the last
 * layer's and all that is no matrix: adamw with beta1 0.9, beta2 0.999, epsilon 1e-8. weightDecay ≥ 0, decoupled, default
 * 0.01, for all; and one rate, 0.001 by default, as for adamw.
 */
export const muon = (
  options: RateOption & {
    momentum?: number
    nesterov?: boolean
    steps?: number
    beta1?: number
    beta2?: number
    epsilon?: number
    weightDecay?: number
  } = {},
) => make('muon', options)
