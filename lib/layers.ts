/**
 * Layers: what a network is made of. A layer is plain data made by a factory; a row of LAYERS says which parameters it
 * has and into which stages it unfolds. Stages (plan/stages.ts) are what the compiler knows.
 */
import { ACTIVATIONS, type ActivationName } from './activations'
import type { IndexColumn } from './data/matrix'
import { DownhillError, expected, refuseUnknown } from './errors'
import { type InitializerName, type InitializerSpec, readInitializer } from './initializers'
import { checkBoolean, checkName, checkNumber, RANGES } from './names'
import type { Stage } from './plan/stages'

/** What a layer with parameters may be asked. */
interface Freezable {
  /** Training leaves its parameters as they are. */
  readonly frozen?: true
}

export interface DenseSpec extends Freezable {
  readonly kind: 'dense'
  /** Undefined only in the shorthand of FNN, until the data says how many outputs there are. */
  readonly units: number
  readonly activation: ActivationName
  /** Undefined: the model's. */
  readonly initializer?: InitializerSpec
  /** null: no bias. */
  readonly bias: InitializerSpec | null
  /** λ of ½λΣw² over the weights; undefined: the model's. */
  readonly l2?: number
  /** λ of λΣ|w| over the weights; undefined: the model's. */
  readonly l1?: number
}
export interface DropoutSpec {
  readonly kind: 'dropout'
  readonly rate: number
}
export interface ActivationSpec {
  readonly kind: 'activation'
  readonly activation: ActivationName
}
export interface PreluSpec extends Freezable {
  readonly kind: 'prelu'
  /** One slope for all units. */
  readonly isShared: boolean
  readonly initial: number
}
export interface LayerNormSpec extends Freezable {
  readonly kind: 'layerNorm'
  readonly epsilon: number
}
export interface BatchNormSpec extends Freezable {
  readonly kind: 'batchNorm'
  readonly momentum: number
  readonly epsilon: number
}
export interface EmbeddingSpec extends Freezable {
  readonly kind: 'embedding'
  /** Columns of x that hold indices, and how many indices each has. */
  readonly columns: readonly number[]
  readonly sizes: readonly number[]
  /** Numbers that stand for an index. */
  readonly dimensions: number
  readonly initializer: InitializerSpec
  readonly l2?: number
}
export interface ResidualSpec extends Freezable {
  readonly kind: 'residual'
  readonly layers: readonly LayerSpec[]
}
export type LayerSpec =
  | DropoutSpec
  | ActivationSpec
  | PreluSpec
  | LayerNormSpec
  | BatchNormSpec
  | EmbeddingSpec
  | ResidualSpec
  | DenseSpec

/**
 * What a tensor is to those who know no layer. `weights` are penalised, and scaled by `initScale`; `bias` is one number
 * a unit (biases, gains, slopes) and neither; `kept` has no gradient: a step writes it by other means.
 */
export type TensorRole = 'weights' | 'bias' | 'kept'

/** Tensors as users and files call them. */
export type TensorName = 'weights' | 'bias' | 'runningMean' | 'runningVariance'

/** A tensor of a layer. */
export interface TensorSpec {
  readonly name: TensorName
  readonly role: TensorRole
  /** Its rows are looked up, not multiplied: no matrix that maps one space to another. */
  readonly isTable?: true
  readonly rows: number
  readonly columns: number
  /** Undefined: the model's initializer. */
  readonly initializer?: InitializerSpec
  /** Of `weights` only; undefined: the model's. */
  readonly l2?: number
  readonly l1?: number
}

/** One kind of layer: all that shared code knows of it. */
export interface Layer<S extends LayerSpec> {
  readonly kind: S['kind']
  readonly synopsis: string
  /** What a summary says of it beside kind, shape and parameters. */
  detail(spec: S, inputs: number): string
  /** Inputs that are not known yet are NaN, and so are outputs that depend on them. */
  outputs(spec: S, inputs: number): number
  /** At most one of each name; a layer that has any has `weights`. */
  tensors(spec: S, inputs: number): readonly TensorSpec[]
  /** `index` is its place among all layers, which tells the masks of two dropout layers apart. */
  stages(spec: S, inputs: number, index: number): readonly Stage[]
  /** Layers within it: they stand behind its stages, and `closing` behind them. */
  readonly within?: (spec: S) => readonly LayerSpec[]
  /** The same layer with others within. */
  readonly withWithin?: (spec: S, layers: readonly LayerSpec[]) => S
  readonly closing?: (spec: S, inputs: number, index: number) => readonly Stage[]
  /** Columns of x that must be indices below a size; only the first layer of a model may ask for such. */
  readonly indices?: (spec: S) => readonly IndexColumn[]
  /** The activation that its outputs have gone through last; 'linear' for none. */
  activation(spec: S): ActivationName
  /** The same layer with another activation; left out where it has none of its own. */
  readonly withActivation?: (spec: S, activation: ActivationName) => S
  /** A batch must not be cut: what it makes of a row depends on the others. */
  readonly needsWholeBatch?: true
  /** Whether training draws by chance what becomes of a row, by its place. */
  readonly drawsMasks?: (spec: S) => boolean
  /** Whether its outputs may be those of the network. */
  readonly canEnd: boolean
}

/** What follows a normalisation: weights that multiply, 1 at the start, and a bias. */
const gainAndShift = (columns: number): readonly TensorSpec[] => [
  { name: 'weights', role: 'bias', rows: 1, columns, initializer: { kind: 'ones' } },
  { name: 'bias', role: 'bias', rows: 1, columns, initializer: { kind: 'zeros' } },
]

/** All layers by kind. */
export const LAYERS: { readonly [K in LayerSpec['kind']]: Layer<Extract<LayerSpec, { kind: K }>> } = {
  dropout: {
    kind: 'dropout',
    synopsis: 'zeroes a share of its inputs in training and scales the rest up (inverted, Srivastava et al. 2014)',
    detail: ({ rate }) => `rate ${rate}`,
    outputs: (_, inputs) => inputs,
    tensors: () => [],
    stages: ({ rate }, _, index) => (rate === 0 ? [] : [{ kind: 'mask', rate, stream: index }]),
    activation: () => 'linear',
    drawsMasks: ({ rate }) => rate > 0,
    canEnd: false,
  },
  activation: {
    kind: 'activation',
    synopsis: 'y = f(x), f one of the activations',
    detail: ({ activation }) => activation,
    outputs: (_, inputs) => inputs,
    tensors: () => [],
    stages: ({ activation }) => [{ kind: 'activate', activation }],
    activation: ({ activation }) => activation,
    withActivation: (spec, activation) => ({ ...spec, activation }),
    canEnd: true,
  },
  prelu: {
    kind: 'prelu',
    synopsis: 'y = x > 0 ? x : a·x with slopes a that are learned, one a unit or one for all (He et al. 2015)',
    detail: ({ isShared }) => (isShared ? 'shared slope' : ''),
    outputs: (_, inputs) => inputs,
    tensors: ({ isShared, initial }, inputs) => [
      {
        name: 'weights',
        role: 'bias',
        rows: 1,
        columns: isShared ? 1 : inputs,
        initializer: { kind: 'constant', value: initial },
      },
    ],
    stages: ({ isShared }, inputs) => [{ kind: 'prelu', slopes: isShared ? 1 : inputs }],
    activation: () => 'linear',
    canEnd: true,
  },
  layerNorm: {
    kind: 'layerNorm',
    synopsis: 'each row to mean 0 and variance 1, then a gain and a shift for each unit (Ba et al. 2016)',
    detail: () => '',
    outputs: (_, inputs) => inputs,
    tensors: (_, inputs) => gainAndShift(inputs),
    stages: ({ epsilon }) => [{ kind: 'normalizeRows', epsilon }, { kind: 'scale' }],
    activation: () => 'linear',
    canEnd: true,
  },
  batchNorm: {
    kind: 'batchNorm',
    synopsis: 'each unit to mean 0 and variance 1 over the batch, then a gain and a shift (Ioffe & Szegedy 2015)',
    detail: () => '',
    outputs: (_, inputs) => inputs,
    tensors: (_, inputs) => [
      ...gainAndShift(inputs),
      { name: 'runningMean', role: 'kept', rows: 1, columns: inputs, initializer: { kind: 'zeros' } },
      { name: 'runningVariance', role: 'kept', rows: 1, columns: inputs, initializer: { kind: 'ones' } },
    ],
    stages: ({ momentum, epsilon, frozen = false }) => [
      { kind: 'normalizeColumns', momentum, epsilon, isFrozen: frozen },
      { kind: 'scale' },
    ],
    activation: () => 'linear',
    needsWholeBatch: true,
    canEnd: true,
  },
  embedding: {
    kind: 'embedding',
    synopsis: 'columns of indices become rows of a table that is learned; other columns pass through',
    detail: ({ columns, sizes, dimensions }) =>
      `${columns.map((column, i) => `column ${column} of ${sizes[i]}`).join(', ')} by ${dimensions}`,
    outputs: ({ columns, dimensions }, inputs) => inputs + columns.length * (dimensions - 1),
    tensors: ({ sizes, dimensions, initializer, l2 }) => [
      { name: 'weights', role: 'weights', rows: sumOf(sizes), columns: dimensions, initializer, l2, isTable: true },
    ],
    stages: ({ columns, sizes, dimensions }) => [{ kind: 'embed', columns, sizes, dimensions }],
    indices: ({ columns, sizes }) => columns.map((column, i) => ({ column, size: sizes[i] })),
    activation: () => 'linear',
    canEnd: false,
  },
  residual: {
    kind: 'residual',
    synopsis: 'y = x + f(x), f the layers within; y = x·W + f(x) where f changes the width (He et al. 2016)',
    detail: ({ layers }, inputs) => (widthOf(layers, inputs) === inputs ? '' : 'projected'),
    outputs: ({ layers }, inputs) => widthOf(layers, inputs),
    tensors: ({ layers }, inputs) => {
      const outputs = widthOf(layers, inputs)
      return outputs === inputs ? [] : [{ name: 'weights', role: 'weights', rows: inputs, columns: outputs }]
    },
    stages: (_, _inputs, index) => [{ kind: 'fork', index }],
    within: ({ layers }) => layers,
    withWithin: (spec, layers) => ({ ...spec, layers }),
    closing: ({ layers }, inputs, index) => {
      const outputs = widthOf(layers, inputs)
      return [{ kind: 'join', index, projection: outputs === inputs ? null : { kind: 'affine', inputs, outputs } }]
    },
    activation: () => 'linear',
    canEnd: true,
  },
  dense: {
    kind: 'dense',
    synopsis: 'y = f(x·W + b)',
    detail: ({ activation }) => activation,
    outputs: ({ units }) => units,
    tensors: ({ units, initializer, bias, l1, l2 }, inputs) => [
      { name: 'weights', role: 'weights', rows: inputs, columns: units, initializer, l1, l2 },
      ...(bias ? [{ name: 'bias', role: 'bias', rows: 1, columns: units, initializer: bias } as const] : []),
    ],
    stages: ({ units, activation }, inputs) => [
      { kind: 'affine', inputs, outputs: units },
      { kind: 'activate', activation },
    ],
    activation: ({ activation }) => activation,
    withActivation: (spec, activation) => ({ ...spec, activation }),
    canEnd: true,
  },
}

/** The row of a layer. */
export function layerRow<S extends LayerSpec>(spec: S): Layer<S> {
  return LAYERS[spec.kind] as unknown as Layer<S>
}

/** Columns that come out of a list of layers when so many go in. */
export function widthOf(layers: readonly LayerSpec[], inputs: number): number {
  return layers.reduce((width, layer) => layerRow(layer).outputs(layer, width), inputs)
}

/** Columns that come out whatever goes in; null where that depends on it. */
export function unitsOf(layers: readonly LayerSpec[]): number | null {
  const units = widthOf(layers, Number.NaN)
  return Number.isNaN(units) ? null : units
}

/** All layers in order, those within another right behind it. */
export function allLayers(layers: readonly LayerSpec[]): readonly LayerSpec[] {
  return layers.flatMap((layer) => [layer, ...allLayers(layerRow(layer).within?.(layer) ?? [])])
}

/** Whether batches of these layers must not be cut into chunks. */
export function needsWholeBatch(layers: readonly LayerSpec[]): boolean {
  return allLayers(layers).some((layer) => layerRow(layer).needsWholeBatch)
}

/** Whether training draws masks in one of these layers. */
export function drawsMasks(layers: readonly LayerSpec[]): boolean {
  return allLayers(layers).some((layer) => layerRow(layer).drawsMasks?.(layer))
}

/** The same layers dropping nothing. */
export function undropped(layers: readonly LayerSpec[]): LayerSpec[] {
  return layers.map((layer) => {
    const { within, withWithin } = layerRow(layer)
    if (within && withWithin) return withWithin(layer, undropped(within(layer)))
    return 'rate' in layer ? { ...layer, rate: 0 } : layer
  })
}

/** The columns of x that a model takes for indices. */
export function indexColumns([first]: readonly LayerSpec[]): readonly IndexColumn[] {
  return (first && layerRow(first).indices?.(first)) ?? []
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}

/** The activation that the outputs of a list of layers have gone through last; 'linear' for none. */
export function outputActivation({ layers }: { readonly layers: readonly LayerSpec[] }): ActivationName {
  const last = layers.at(-1)
  return last ? layerRow(last).activation(last) : 'linear'
}

/** The same layers, the last with another activation if it has one. */
export function withOutputActivation(layers: readonly LayerSpec[], activation: ActivationName): LayerSpec[] {
  return layers.map((layer, i) =>
    i === layers.length - 1 ? (layerRow(layer).withActivation?.(layer, activation) ?? layer) : layer,
  )
}

// ---------------------------------------------------------------------------------------------------- factories

type InitializerOption =
  | InitializerName
  | InitializerSpec
  | readonly (readonly number[])[]
  | { data: ArrayLike<number>; rows: number; columns: number }

export interface DenseOptions {
  /** Of the weights. @default the model's, and 'glorotUniform' there */
  initializer?: InitializerOption
  /** true (zeros), false (none), or an initializer. @default true */
  bias?: boolean | InitializerOption | readonly number[] | Float32Array | Float64Array
  /** λ ≥ 0 of the penalty ½λΣw² on this layer's weights. @default the model's */
  l2?: number
  /** λ ≥ 0 of the penalty λΣ|w| on this layer's weights. @default the model's */
  l1?: number
  /** Whether training leaves its parameters as they are: no optimizer, decay or penalty touches them. @default false */
  frozen?: boolean
}

/** The `frozen` of a spec, which says nothing where it is false. */
function readFrozen(value: unknown, layer: string): Freezable {
  return checkBoolean(value, `frozen of ${layer}`) ? { frozen: true } : {}
}

/**
 * A fully connected layer, y = f(x·W + b) with W of inputs × units.
 * @param units outputs of the layer, a positive integer
 * @param activation @default 'linear'
 */
export function dense(units: number, activation: ActivationName = 'linear', options: DenseOptions = {}): DenseSpec {
  refuseUnknown(options, ['initializer', 'bias', 'l1', 'l2', 'frozen'], 'dense')
  const { initializer, bias = true, l1, l2, frozen = false } = options
  return {
    kind: 'dense',
    units: checkNumber(units, RANGES.count, 'units of dense'),
    activation: checkName(activation, [...ACTIVATIONS.keys()], 'activation') as ActivationName,
    ...(initializer !== undefined && { initializer: readInitializer(initializer) }),
    bias: bias === false ? null : bias === true ? { kind: 'zeros' } : readInitializer(bias, 'bias of dense'),
    ...(l1 !== undefined && { l1: checkNumber(l1, RANGES.notNegative, 'l1 of dense') }),
    ...(l2 !== undefined && { l2: checkNumber(l2, RANGES.notNegative, 'l2 of dense') }),
    ...readFrozen(frozen, 'dense'),
  }
}

/** Zeroes each input with probability `rate` in [0, 1) while training, and scales the others by 1/(1 − rate). */
export function dropout(rate: number): DropoutSpec {
  return { kind: 'dropout', rate: checkNumber(rate, RANGES.fraction, 'rate of dropout') }
}

/** An activation apart from a dense layer: behind a normalisation, or before one. */
export function activation(name: ActivationName): ActivationSpec {
  return {
    kind: 'activation',
    activation: checkName(name, [...ACTIVATIONS.keys()], 'activation') as ActivationName,
  }
}

export interface PreluOptions {
  /** One slope for all units, as in PyTorch's default; else each has its own. @default false */
  shared?: boolean
  /** Slopes at the start. @default 0.25 */
  initial?: number
  /** As of `dense`. @default false */
  frozen?: boolean
}

/** y = x > 0 ? x : a·x with slopes a that are learned (He et al. 2015); `l2` does not apply to them. */
export function prelu(options: PreluOptions = {}): PreluSpec {
  refuseUnknown(options, ['shared', 'initial', 'frozen'], 'prelu')
  const { shared = false, initial = 0.25, frozen = false } = options
  return {
    kind: 'prelu',
    isShared: checkBoolean(shared, 'shared of prelu'),
    initial: checkNumber(initial, RANGES.any, 'initial of prelu'),
    ...readFrozen(frozen, 'prelu'),
  }
}

export interface LayerNormOptions {
  /** Added to the variance; > 0. @default 1e-5 */
  epsilon?: number
  /** As of `dense`. @default false */
  frozen?: boolean
}

/**
 * Brings each row to mean 0 and variance 1 over its units, then multiplies each unit by a gain and adds a shift (Ba et
 * al. 2016). Both are learned, from 1 and 0 on; `weights()` calls them weights and bias, and `l2` does not apply to them.
 */
export function layerNorm(options: LayerNormOptions = {}): LayerNormSpec {
  refuseUnknown(options, ['epsilon', 'frozen'], 'layerNorm')
  const { epsilon = 1e-5, frozen = false } = options
  return {
    kind: 'layerNorm',
    epsilon: checkNumber(epsilon, RANGES.positive, 'epsilon of layerNorm'),
    ...readFrozen(frozen, 'layerNorm'),
  }
}

export interface BatchNormOptions {
  /** Share in (0, 1] of a batch's statistics that the running ones take over with each step. @default 0.1 */
  momentum?: number
  /** Added to the variance; > 0. @default 1e-5 */
  epsilon?: number
  /** As of `dense`; and it normalises by its running statistics while training too. @default false */
  frozen?: boolean
}

/**
 * Brings each unit to mean 0 and variance 1, then multiplies it by a gain and adds a shift, which are learned (Ioffe &
 * Szegedy 2015). Training takes mean and variance of the batch, each row counting once whatever its weight, and moves the
 * running ones towards them (the variance times n/(n − 1), as in PyTorch); `predict`, `evaluate`, `loss` and `gradients`
 * take the running ones. A last batch of one row is normalised by them too, and leaves them; batches of one row are
 * refused. A batch is one chunk here: the activations of all its rows stand in memory at once.
 */
export function batchNorm(options: BatchNormOptions = {}): BatchNormSpec {
  refuseUnknown(options, ['momentum', 'epsilon', 'frozen'], 'batchNorm')
  const { momentum = 0.1, epsilon = 1e-5, frozen = false } = options
  return {
    kind: 'batchNorm',
    momentum: checkNumber(momentum, RANGES.share, 'momentum of batchNorm'),
    epsilon: checkNumber(epsilon, RANGES.positive, 'epsilon of batchNorm'),
    ...readFrozen(frozen, 'batchNorm'),
  }
}

export interface EmbeddingOptions {
  /** Columns of x that hold indices, counted from 0. */
  columns: readonly number[]
  /** How many indices each of them has, at most 2²⁴; one number: all have as many. */
  sizes: number | readonly number[]
  /** Numbers that stand for an index. */
  dimensions: number
  /** Of the table. @default normal(1) */
  initializer?: InitializerOption
  /** λ ≥ 0 of the penalty ½λΣw² on the table. @default the model's */
  l2?: number
  /** As of `dense`. @default false */
  frozen?: boolean
}

/** The largest integer up to which float32 knows every one. */
const MOST_INDICES = 2 ** 24

/**
 * Columns of indices become vectors that are learned: each of `columns`, which hold integers in [0, size), is replaced
 * where it stands by `dimensions` numbers, a row of a table; the other columns pass through. The first layer of a model.
 * Its one table has the rows of the first column, then those of the next; `weights()` calls it weights. `standardize`
 * leaves columns of indices as they are.
 */
export function embedding(options: EmbeddingOptions): EmbeddingSpec {
  refuseUnknown(options, ['columns', 'sizes', 'dimensions', 'initializer', 'l2', 'frozen'], 'embedding')
  const { columns, sizes, dimensions, initializer = { kind: 'normal', std: 1, mean: 0 }, l2, frozen = false } = options
  if (!Array.isArray(columns) || columns.length === 0)
    throw expected('a list of columns such as [0, 3]', 'columns of embedding', columns)
  const twice = columns.find((column, i) => columns.indexOf(column) !== i)
  if (twice !== undefined)
    throw new DownhillError('ERR_OPTION', `Expected different columns of embedding but ${twice} is there twice.`)
  const all = typeof sizes === 'number' ? columns.map(() => sizes) : sizes
  if (!Array.isArray(all) || all.length !== columns.length)
    throw expected(`a number or a list of ${columns.length}, one a column,`, 'sizes of embedding', sizes)
  const size = { says: 'an integer in [1, 2²⁴]', holds: (n: number) => RANGES.count.holds(n) && n <= MOST_INDICES }
  return {
    kind: 'embedding',
    columns: columns.map((column) => checkNumber(column, RANGES.wholeNotNegative, 'columns of embedding')),
    sizes: all.map((value) => checkNumber(value, size, 'sizes of embedding')),
    dimensions: checkNumber(dimensions, RANGES.count, 'dimensions of embedding'),
    initializer: readInitializer(initializer, 'initializer of embedding'),
    ...(l2 !== undefined && { l2: checkNumber(l2, RANGES.notNegative, 'l2 of embedding') }),
    ...readFrozen(frozen, 'embedding'),
  }
}

export interface ResidualOptions {
  /** Of all layers within, and the projection. @default false */
  frozen?: boolean
}

/**
 * y = x + f(x) with f the layers given (He et al. 2016). Where f changes the width, x goes through a projection that is
 * learned, y = x·W + f(x), without a bias: f has its own. `weights()` lists W before the layers within.
 */
export function residual(layers: readonly LayerSpec[], options: ResidualOptions = {}): ResidualSpec {
  refuseUnknown(options, ['frozen'], 'residual')
  const { frozen = false } = options
  if (!Array.isArray(layers) || layers.length === 0)
    throw expected('a list of layers', 'the layers of residual', layers)
  const within = layers.map((layer, i) => readNamed(layer, `layers[${i}] of residual`))
  const first = within.find((layer) => layerRow(layer).indices)
  if (first) throw notFirst(first)
  const isFrozen = checkBoolean(frozen, 'frozen of residual')
  return {
    kind: 'residual',
    layers: isFrozen ? within.map(freeze) : within,
    ...readFrozen(isFrozen, 'residual'),
  }
}

/** A layer as its factory makes it with `frozen`; one without parameters as it is. */
function freeze(layer: LayerSpec): LayerSpec {
  return layer.kind === 'dropout' || layer.kind === 'activation'
    ? layer
    : READERS[layer.kind]({ ...layer, frozen: true } as never)
}

/** Of a layer of indices that does not come first. */
export function notFirst({ kind }: LayerSpec): DownhillError {
  return new DownhillError('ERR_OPTION', `Expected ${kind} to be the first of layers: it reads columns of x.`)
}

/**
 * A checked layer: what a factory returned, or the same as plain data (as saved in a file).
 * @throws ERR_OPTION
 */
export function readLayer(value: unknown, at: number): LayerSpec {
  return readNamed(value, `layers[${at}]`)
}

function readNamed(value: unknown, name: string): LayerSpec {
  if (typeof value !== 'object' || value === null || !('kind' in value))
    throw expected('a layer such as dense(64, "tanh")', name, value)
  const kind = checkName((value as { kind: unknown }).kind, Object.keys(LAYERS) as LayerSpec['kind'][], name)
  return READERS[kind](value as never)
}

const READERS: { readonly [K in LayerSpec['kind']]: (spec: Extract<LayerSpec, { kind: K }>) => LayerSpec } = {
  dense: ({ kind, units, activation, bias, ...options }) =>
    dense(units, activation, { ...options, bias: bias ?? false }),
  dropout: ({ rate }) => dropout(rate),
  activation: ({ activation: name }) => activation(name),
  prelu: ({ kind, isShared, ...options }) => prelu({ shared: isShared, ...options }),
  layerNorm: ({ kind, ...options }) => layerNorm(options),
  batchNorm: ({ kind, ...options }) => batchNorm(options),
  embedding: ({ kind, ...options }) => embedding(options),
  residual: ({ layers, frozen = false }) => residual(layers, { frozen }),
}
