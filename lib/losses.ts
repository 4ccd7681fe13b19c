/**
 * Losses: the names users say, each of which chooses a kernel (kernels.ts) by what the output layer yields.
 *
 * A loss with a *link* is computed on logits when the output activation is that link, so that log(0) cannot happen:
 * sigmoid with binaryCrossEntropy, softmax with crossEntropy, either with focal. Any other pair applies the activation,
 * then the loss.
 */
import { ACTIVATIONS, type ActivationName } from './activations'
import type { LossTask, Task } from './data/targets'
import { expected, refuseUnknown } from './errors'
import type { KernelConstants } from './kernels'
import { checkName, checkNumber, type NumberRange, RANGES } from './names'

export { LOSS_KERNELS, type LossKernel } from './kernels'

export type LossName =
  | 'binaryCrossEntropy'
  | 'crossEntropy'
  | 'focal'
  | 'hinge'
  | 'mse'
  | 'mae'
  | 'huber'
  | 'logCosh'
  | 'quantile'
  | 'poisson'

/** A loss with its options filled in. */
export interface LossSpec {
  readonly kind: LossName
  readonly reduction: 'mean' | 'sum'
  readonly scale: number
  /** What the output layer's values are taken for; left out, its activation decides. */
  readonly from?: 'logits' | 'probabilities' | 'logs' | 'rates'
  /** Of huber. */
  readonly delta?: number
  /** Of quantile. */
  readonly q?: number
  /** Of the cross-entropies; left out: 0. */
  readonly labelSmoothing?: number
  /** Of focal; alpha left out: both answers weigh 1. */
  readonly gamma?: number
  readonly alpha?: number
}

/** How a loss is computed where the output activation is its link, and where it is any other. */
export interface LossForm {
  /** The output activation with which it runs on logits. */
  readonly link?: 'sigmoid' | 'softmax'
  /** Its kernels; the same one twice where the distinction means nothing. */
  readonly logits: string
  readonly probabilities: string
  /** What 'mean' divides by. */
  readonly meanOver: 'elements' | 'rows'
}

/** One loss as users name it. */
export interface Loss extends LossForm {
  readonly name: LossName
  readonly synopsis: string
  /** Another form, for outputs that its own link makes. */
  readonly wide?: LossForm
  /** The output activation that it wants where it has no link. @default the task's own */
  readonly output?: ActivationName
  /** Whether class targets are given as indices or as one column a class. */
  readonly classTargets: 'index' | 'dense'
  /** The task it says, if it says one; 'classes': some of them, y says which. */
  readonly task?: LossTask
  /** Tasks of which it is a loss, and no makeshift. */
  readonly tasks: readonly Task[]
  /** What an output read as a logit predicts, where that is no activation's business. */
  readonly predicts?: (z: number) => number
  /** Names of both readings. @default logits, probabilities */
  readonly readings?: readonly [logits: 'logs', probabilities: 'rates']
  /** Its options beside reduction and scale. */
  readonly options: readonly OptionName[]
  /** The constants of its kernels. @default none */
  readonly constants?: (spec: LossSpec) => Partial<KernelConstants>
}

/** A loss of distances: numbers against numbers. */
const distance = (name: LossName, synopsis: string, rest: Partial<Loss> = {}): Loss => ({
  name,
  synopsis,
  logits: name,
  probabilities: name,
  meanOver: 'elements',
  classTargets: 'dense',
  tasks: ['regression'],
  options: [],
  ...rest,
})

const smoothing = ({ labelSmoothing = 0 }: LossSpec): Partial<KernelConstants> => ({ parameter: labelSmoothing })

const LOSS_ROWS: readonly Loss[] = [
  distance('mse', 'squared error'),
  distance('mae', 'absolute error'),
  distance('huber', 'squared error within delta, absolute beyond', {
    options: ['delta'],
    constants: ({ delta = 1 }) => ({ parameter: delta }),
  }),
  distance('logCosh', 'log cosh of the error: nearly half its square near 0, absolute far out'),
  distance('quantile', 'pinball loss: the share q of the targets lies below its best prediction', {
    options: ['q'],
    constants: ({ q = 0.5 }) => ({ parameter: q }),
  }),
  distance('poisson', 'counts against a rate, of which the output is the logarithm', {
    logits: 'poissonLogs',
    probabilities: 'poissonRates',
    output: 'linear',
    task: 'regression',
    predicts: Math.exp,
    readings: ['logs', 'rates'],
    options: ['from'],
  }),
  {
    name: 'hinge',
    synopsis: 'how far each output falls short of its margin, 1 or −1 for the targets 1 and 0',
    logits: 'hinge',
    probabilities: 'hinge',
    meanOver: 'elements',
    output: 'linear',
    classTargets: 'dense',
    task: 'classes',
    tasks: ['binary', 'multiclass', 'multilabel'],
    predicts: (z) => (z + 1) / 2,
    options: [],
  },
  {
    name: 'binaryCrossEntropy',
    synopsis: 'log loss of each output against 0 or 1',
    link: 'sigmoid',
    logits: 'bceLogits',
    probabilities: 'bceProbabilities',
    meanOver: 'elements',
    classTargets: 'dense',
    task: 'binary',
    tasks: ['binary', 'multilabel'],
    options: ['from', 'labelSmoothing'],
    constants: smoothing,
  },
  {
    name: 'crossEntropy',
    synopsis: 'log loss of the right class',
    link: 'softmax',
    logits: 'crossEntropyLogits',
    probabilities: 'crossEntropyProbabilities',
    meanOver: 'rows',
    classTargets: 'index',
    task: 'multiclass',
    tasks: ['multiclass'],
    options: ['from', 'labelSmoothing'],
    constants: smoothing,
  },
  {
    name: 'focal',
    synopsis: 'log loss of each output, or of the right class behind softmax, less where it is right already',
    link: 'sigmoid',
    logits: 'focalLogits',
    probabilities: 'focalProbabilities',
    meanOver: 'elements',
    wide: {
      link: 'softmax',
      logits: 'focalCrossEntropyLogits',
      probabilities: 'focalCrossEntropyProbabilities',
      meanOver: 'rows',
    },
    classTargets: 'dense',
    task: 'classes',
    tasks: ['binary', 'multiclass', 'multilabel'],
    options: ['from', 'gamma', 'alpha'],
    constants: ({ gamma = 2, alpha = -1 }) => ({ parameter: gamma, second: alpha }),
  },
]

/** All losses by name. */
export const LOSSES: ReadonlyMap<LossName, Loss> = new Map(LOSS_ROWS.map((row) => [row.name, row]))

/** The row of a loss. */
export function lossRow(spec: LossSpec): Loss {
  return LOSSES.get(spec.kind) as Loss
}

/** The form that a loss takes behind an output activation. */
export function formOf(spec: LossSpec, activation: string): LossForm {
  const row = lossRow(spec)
  return row.wide && row.wide.link === activation ? row.wide : row
}

/** How a loss meets an output activation: the kernel, and whether it takes the place of the activation. */
export interface LossSite {
  readonly kernel: string
  readonly reads: 'logits' | 'probabilities'
  /** The kernel works on logits; the activation is not applied before it. */
  readonly fused: boolean
  /** Constant in front of the sum, the mean over outputs in it; `overRows`: to be divided by the weight of a batch. */
  readonly scale: (outputs: number) => number
  readonly overRows: boolean
  readonly constants: KernelConstants
}

export function placeLoss(spec: LossSpec, activation: string): LossSite {
  const row = lossRow(spec)
  const form = formOf(spec, activation)
  const linked = form.link === activation
  const yieldsShares = form.link !== undefined && ACTIVATIONS.get(activation)?.isProbability === true
  const asked = spec.from && (['probabilities', 'rates'].includes(spec.from) ? 'probabilities' : 'logits')
  const reads = asked ?? (linked || !yieldsShares ? 'logits' : 'probabilities')
  const perElement = spec.reduction === 'mean' && form.meanOver === 'elements'
  return {
    kernel: form[reads],
    reads,
    fused: linked && reads === 'logits',
    scale: (outputs) => (perElement ? spec.scale / outputs : spec.scale),
    overRows: spec.reduction === 'mean',
    constants: { parameter: 0, second: 0, ...row.constants?.(spec) },
  }
}

// ---------------------------------------------------------------------------------------------------- options

type OptionName = 'from' | 'delta' | 'q' | 'labelSmoothing' | 'gamma' | 'alpha'

const share: NumberRange = { says: 'a number in [0, 1]', holds: (x) => x >= 0 && x <= 1 }
const inner: NumberRange = { says: 'a number between 0 and 1 (both excluded)', holds: (x) => x > 0 && x < 1 }

/** Options that are numbers, with what they are where they are left out; null: nothing. */
const NUMBERS: {
  readonly [K in Exclude<OptionName, 'from'>]: { readonly range: NumberRange; readonly by: number | null }
} = {
  delta: { range: RANGES.positive, by: 1 },
  q: { range: inner, by: 0.5 },
  labelSmoothing: { range: RANGES.fraction, by: null },
  gamma: { range: RANGES.notNegative, by: 2 },
  alpha: { range: share, by: null },
}

interface CommonOptions {
  /** 'mean' over rows × outputs (over rows, behind softmax), or 'sum' of the same terms. @default 'mean' */
  reduction?: 'mean' | 'sum'
  /** Multiplies the loss, > 0; ½·mse is `scale: 0.5`. @default 1 */
  scale?: number
}
interface FromOption {
  /**
   * What the output's values are taken for. By default logits, unless the activation yields probabilities and is not
   * this loss's own link. 'probabilities' takes their logarithm unclipped. @default by the output activation
   */
  from?: 'logits' | 'probabilities'
}
interface SmoothingOption {
  /** The share in [0, 1) of each target that is given to all classes alike (Szegedy et al. 2016). @default 0 */
  labelSmoothing?: number
}

export type LossOptions = CommonOptions & { [K in OptionName]?: unknown }

/**
 * A checked loss from a name or from what a factory returned.
 * @throws ERR_OPTION for an unknown name or a bad option
 */
export function readLoss(value: unknown): LossSpec {
  if (typeof value === 'string') return make(checkName(value, [...LOSSES.keys()], 'loss'), {})
  if (typeof value === 'object' && value !== null && 'kind' in value) {
    const { kind, ...options } = value as { kind: unknown }
    return make(checkName(kind, [...LOSSES.keys()], 'loss'), options)
  }
  throw expected('a loss such as "mse" or mse({ … })', 'loss', value)
}

function make(kind: LossName, options: LossOptions): LossSpec {
  const row = LOSSES.get(kind) as Loss
  refuseUnknown(options, ['reduction', 'scale', ...row.options], kind)
  const { reduction = 'mean', scale = 1, from } = options
  checkName(reduction, ['mean', 'sum'], `reduction of ${kind}`)
  checkNumber(scale, RANGES.positive, `scale of ${kind}`)
  const reading =
    from === undefined ? undefined : checkName(from, row.readings ?? ['logits', 'probabilities'], `from of ${kind}`)
  const numbers: { [option: string]: number } = {}
  for (const name of row.options) {
    if (name === 'from') continue
    const { range, by } = NUMBERS[name]
    const value = options[name] === undefined ? by : options[name]
    if (value !== null || options[name] === null) numbers[name] = checkNumber(value, range, `${name} of ${kind}`)
  }
  return { kind, reduction, scale, ...(reading && { from: reading }), ...numbers }
}

// ---------------------------------------------------------------------------------------------------- factories

/** Mean or sum of (z − t)². */
export const mse = (options: CommonOptions = {}): LossSpec => make('mse', options)
/** Mean or sum of |z − t|. */
export const mae = (options: CommonOptions = {}): LossSpec => make('mae', options)
/** ½e² where |e| ≤ delta, delta·(|e| − ½delta) beyond; delta > 0, default 1. */
export const huber = (options: CommonOptions & { delta?: number } = {}): LossSpec => make('huber', options)
/** log cosh(z − t): as ½e² near 0, as |e| − log 2 far out, and smooth. */
export const logCosh = (options: CommonOptions = {}): LossSpec => make('logCosh', options)
/**
 * The pinball loss: q·(t − z) where the target is higher, (1 − q)·(z − t) where it is lower, so that a prediction is the
 * q-quantile of the targets; q in (0, 1), default 0.5, the median.
 */
export const quantile = (options: CommonOptions & { q?: number } = {}): LossSpec => make('quantile', options)
/**
 * Negative log likelihood of counts ≥ 0 without its constant term (PyTorch's PoissonNLLLoss, without its epsilon).
 * The output is the logarithm of the rate, and predict gives the rate; with `from: 'rates'` the output is the rate itself.
 */
export const poisson = (options: CommonOptions & { from?: 'logs' | 'rates' } = {}): LossSpec => make('poisson', options)
/**
 * max(0, 1 − y·z) with y = −1 and 1 for the targets 0 and 1, on a linear output; of more classes each against the rest.
 * A prediction is the side of 0; predictProba gives (z + 1) / 2, which is no probability.
 */
export const hinge = (options: CommonOptions = {}): LossSpec => make('hinge', options)
/** −(t·log p + (1 − t)·log(1 − p)). */
export const binaryCrossEntropy = (options: CommonOptions & FromOption & SmoothingOption = {}): LossSpec =>
  make('binaryCrossEntropy', options)
/** −log of the right class's probability; targets are class indices or one probability a class. */
export const crossEntropy = (options: CommonOptions & FromOption & SmoothingOption = {}): LossSpec =>
  make('crossEntropy', options)
/**
 * Cross entropy times (1 − p)^gamma, p the probability of the right answer (Lin et al. 2017): of each output against 0 or
 * 1, or of the right class behind softmax. gamma ≥ 0, default 2. alpha in [0, 1] weighs 1 against 0, as alpha and
 * 1 − alpha; left out, both weigh 1; behind softmax it means nothing, and classWeight does it.
 */
export const focal = (options: CommonOptions & FromOption & { gamma?: number; alpha?: number } = {}): LossSpec =>
  make('focal', options)
