/**
 * What a model may be asked to be: the options of `new FNN({ … })`, checked and interpreted, before any data is seen.
 */
import { ACTIVATIONS, type ActivationName } from './activations'
import { BACKEND_NAMES, type BackendName } from './backends/pick'
import type { Matrix } from './data/matrix'
import { checkClasses, type Label, type Task } from './data/targets'
import { DownhillError, expected, refuseUnknown } from './errors'
import { type InitializerName, type InitializerSpec, readInitializer } from './initializers'
import { type LayerSpec, layerRow, notFirst, readLayer, unitsOf } from './layers'
import { type LossName, type LossSpec, readLoss } from './losses'
import { checkName, checkNumber, RANGES } from './names'
import type { Dtype } from './plan/plan'
import { drawSeed } from './random'

/**
 * Options of a model; all may be left out. `L` is the type of its labels, `T` and `O` what is known of its task and
 * outputs when it is compiled.
 */
export interface ModelOptions<L extends Label = Label, T extends Task = Task, O extends number = number> {
  /** Columns of x. @default those of the first fit's x */
  inputs?: number
  /** Units of the output layer of the shorthand. @default as the task and the first fit's y need */
  outputs?: O
  /** Units of the hidden layers. @default [128, 64] */
  hidden?: readonly number[]
  /** Of the hidden layers. @default 'tanh' */
  activation?: ActivationName
  /** The long form, in place of hidden, activation and outputs: dense(…), dropout(…), … to the output layer. */
  layers?: readonly LayerSpec[]
  /** @default by loss or output activation, else by y */
  task?: T
  /** A name, or mse({ … }), … @default by the task */
  loss?: LossName | LossSpec
  /** Of layers that name none. @default 'glorotUniform' */
  initializer?: InitializerName | InitializerSpec
  /** λ ≥ 0 of the penalty ½λΣw² over all weights, not biases, of layers that name none. @default 0 */
  l2?: number
  /** λ ≥ 0 of the penalty λΣ|w|, on the same weights. @default 0 */
  l1?: number
  /**
   * Brings inputs, or targets of a regression, or both (true), to mean 0 and standard deviation 1, by the training rows
   * of the first fit; undone at predict. @default false
   */
  standardize?: boolean | 'inputs' | 'targets'
  /** Multiplies the drawn weights, not the biases; > 0. @default 1 */
  initScale?: number
  /** Labels, in their order. @default the sorted distinct labels of the first fit */
  classes?: readonly L[]
  /** An integer in [0, 2³²) that decides every random number. @default drawn */
  seed?: number
  /** @default 'auto': native where it is there */
  backend?: BackendName
  /**
   * How many threads compute, at most: a positive integer, or 'auto': all cores but one for `fit`, all for `fitSync`. A
   * training whose steps are faster on fewer takes fewer; no result depends on it. @default 'auto'
   */
  threads?: number | 'auto'
  /** 'float64' runs on the TypeScript backend. @default 'float32' */
  dtype?: Dtype
}

/**
 * What `predict` returns: labels, numbers (one output), or a Matrix (many outputs; multilabel: 0 and 1); which of them,
 * where the constructor's `task`, `outputs` or `classes` say it. A multilabel model whose columns have names says its task.
 */
export type Predictions<L extends Label, T extends Task = TaskOf<L>, O extends number = number> = PredictionsByTask<
  L,
  O
>[T]

interface PredictionsByTask<L, O extends number> {
  binary: L[]
  multiclass: L[]
  multilabel: Matrix
  regression: Numbers[O]
}

/** By the number of outputs. An index, not a condition, so that a model that says more goes where one that says less is asked for. */
interface Numbers {
  [outputs: number]: Float64Array | Matrix
  1: Float64Array
}

/** What a model may be asked to do that was told its labels, or not. */
export type TaskOf<L extends Label> = Label extends L ? Task : 'binary' | 'multiclass'

const NAMES: readonly (keyof ModelOptions)[] = [
  'inputs',
  'outputs',
  'hidden',
  'activation',
  'layers',
  'task',
  'loss',
  'initializer',
  'l2',
  'l1',
  'standardize',
  'initScale',
  'classes',
  'seed',
  'backend',
  'threads',
  'dtype',
]

const TASKS: readonly Task[] = ['binary', 'multiclass', 'multilabel', 'regression']

/** Options with nothing left to ask but the data. */
export interface Config {
  readonly inputs: number | null
  readonly outputs: number | null
  /** The long form, or the shorthand's hidden layers. */
  readonly layers: readonly LayerSpec[] | null
  readonly hidden: readonly number[]
  readonly activation: ActivationName
  readonly task: Task | null
  readonly loss: LossSpec | null
  readonly initializer: InitializerSpec
  readonly l2: number
  readonly l1: number
  readonly standardize: boolean | 'inputs' | 'targets'
  readonly initScale: number
  readonly classes: readonly Label[] | null
  readonly seed: number
  readonly backend: BackendName
  readonly threads: number | 'auto'
  readonly dtype: Dtype
}

/** @throws ERR_OPTION */
export function readModelOptions(options: unknown): Config {
  refuseUnknown(options, NAMES, 'FNN')
  const given = options as ModelOptions
  const {
    hidden = [128, 64],
    activation = 'tanh',
    initializer = 'glorotUniform',
    l1 = 0,
    l2 = 0,
    initScale = 1,
  } = given
  const { standardize = false, seed = drawSeed(), backend = 'auto', threads = 'auto', dtype = 'float32' } = given
  const layers = given.layers === undefined ? null : readLayers(given.layers)
  if (layers) refuseShorthand(given)
  const config: Config = {
    inputs: given.inputs === undefined ? null : checkNumber(given.inputs, RANGES.count, 'inputs'),
    outputs: given.outputs === undefined ? null : checkNumber(given.outputs, RANGES.count, 'outputs'),
    layers,
    hidden: readHidden(hidden),
    activation: checkName(activation, [...ACTIVATIONS.keys()], 'activation') as ActivationName,
    task: given.task === undefined ? null : checkName(given.task, TASKS, 'task'),
    loss: given.loss === undefined ? null : readLoss(given.loss),
    initializer: readInitializer(initializer),
    l2: checkNumber(l2, RANGES.notNegative, 'l2'),
    l1: checkNumber(l1, RANGES.notNegative, 'l1'),
    standardize:
      typeof standardize === 'string' ? checkName(standardize, ['inputs', 'targets'], 'standardize') : standardize,
    initScale: checkNumber(initScale, RANGES.positive, 'initScale'),
    classes: given.classes === undefined ? null : checkClasses(given.classes),
    seed: checkNumber(seed, RANGES.seed, 'seed'),
    backend: checkName(backend, BACKEND_NAMES, 'backend'),
    threads: threads === 'auto' ? threads : checkNumber(threads, RANGES.count, 'threads'),
    dtype: checkName(dtype, ['float32', 'float64'], 'dtype'),
  }
  if (typeof config.standardize !== 'boolean' && typeof config.standardize !== 'string')
    throw expected('true, false, "inputs" or "targets"', 'standardize', standardize)
  const units = layers && unitsOf(layers)
  if (units !== null && config.outputs !== null && units !== config.outputs)
    throw new DownhillError(
      'ERR_SHAPE',
      `Expected the last layer to have the ${config.outputs} units that outputs asks for but it has ${units}.`,
    )
  return config
}

function readLayers(value: unknown): LayerSpec[] {
  if (!Array.isArray(value) || value.length === 0) throw expected('a list of layers', 'layers', value)
  const layers = value.map(readLayer)
  const late = layers.slice(1).find((layer) => layerRow(layer).indices)
  if (late) throw notFirst(late)
  const last = layers[layers.length - 1]
  if (!layerRow(last).canEnd)
    throw new DownhillError(
      'ERR_OPTION',
      `Expected a layer that gives outputs, such as dense(1), for the last of layers but received ${last.kind}.`,
    )
  return layers
}

/** Both forms at once would leave one of them ignored. */
function refuseShorthand(given: ModelOptions): void {
  for (const name of ['hidden', 'activation'] as const)
    if (given[name] !== undefined)
      throw new DownhillError(
        'ERR_OPTION',
        `Expected either layers or ${name}, but both were given; layers says it all.`,
      )
}

function readHidden(value: unknown): number[] {
  if (!Array.isArray(value)) throw expected('a list of unit counts such as [128, 64]', 'hidden', value)
  return value.map((units, i) => checkNumber(units, RANGES.count, `hidden[${i}]`))
}
