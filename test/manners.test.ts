// Manners, through the public API: every wrong argument is one sentence with a code, the model is what it was before,
// and the process lives. A row is a case; `pool` and `allowed` make the rows of one option out of every wrong type.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import * as downhill from 'downhill'
import {
  DownhillError,
  dense,
  dropout,
  type ErrorCode,
  type FitOptions,
  FNN,
  type Label,
  type ModelOptions,
} from 'downhill'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { onEachBackend, type TestBackend } from './truth'

const nan = Number.NaN
const inf = Number.POSITIVE_INFINITY

/** Lets a wrong argument past the compiler. */
const wrong = (value: unknown): never => value as never

// biome-ignore format: a list
const CODES: readonly ErrorCode[] = [
  'ERR_SHAPE', 'ERR_OPTION', 'ERR_DATA', 'ERR_STATE', 'ERR_BUSY', 'ERR_ABORTED', 'ERR_DIVERGED', 'ERR_FILE',
  'ERR_BACKEND', 'ERR_PEER',
]

/** `call` throws, or its promise rejects with, one DownhillError of `code`, a single sentence that `message` finds. */
async function refuses(t: Test, name: string, call: () => unknown, code: ErrorCode, message = /./): Promise<void> {
  try {
    await call()
    t.fail(`${name}: nothing was refused`)
  } catch (error) {
    if (!(error instanceof DownhillError)) return void t.fail(`${name}: ${error}`)
    const isSentence = /^[A-Z][^\n]*[.?]$/.test(error.message)
    t.ok(error.code === code && message.test(error.message) && isSentence, `${name}: ${error.code} ${error.message}`)
  }
}

const none: number[] = []
const numbers = [3]
const floats = new Float32Array(2)
const object = {}
const holed = [null]
const three = (): number => 3
/** Objects that are something else: never options, though a callback may be of any class. */
const instances = [new Date(0), new Map(), Promise.resolve(3)]
/** Everything a caller may pass by mistake; each option says which of these it takes. */
// biome-ignore format: a list
const pool: readonly unknown[] = [
  null, true, false, nan, inf, -inf, -1, 0, 1.5, 3, '', 'banana', '3', none, numbers, holed, object, { a: 1 },
  ...instances, Symbol('s'), 1n, three, floats,
]

/** Those of them that no options object can be. */
const notObjects = pool.filter((value) => Object.prototype.toString.call(value) !== '[object Object]')

const isOneOf = (allowed: readonly unknown[], value: unknown): boolean => allowed.some((a) => Object.is(a, value))
const nameOf = (value: unknown): string =>
  typeof value === 'symbol' || typeof value === 'function' ? typeof value : `${typeof value} ${String(value)}`

/** The values of the pool that an option must refuse. */
const wrongValues = (allowed: readonly unknown[]): unknown[] => pool.filter((value) => !isOneOf(allowed, value))

// ---------------------------------------------------------------------------------------------------- construction

/** Each option of the constructor, and what of the pool it takes. */
const MODEL_OPTIONS: { readonly [K in keyof Required<ModelOptions>]: readonly unknown[] } = {
  inputs: [3],
  outputs: [3],
  hidden: [none, numbers],
  activation: [],
  layers: [],
  task: [],
  loss: [],
  initializer: [numbers, floats],
  l2: [0, 1.5, 3],
  l1: [0, 1.5, 3],
  standardize: [true, false],
  initScale: [1.5, 3],
  classes: [],
  seed: [0, 3],
  backend: [],
  threads: [3],
  dtype: [],
}

// biome-ignore format: one case a line
const BAD_MODELS: readonly [name: string, options: object, code: ErrorCode, message: RegExp][] = [
  ['misspelt: hiden', { hiden: [3] }, 'ERR_OPTION', /"hiden" for FNN; did you mean "hidden"\?/],
  ['misspelt: Activation', { Activation: 'relu' }, 'ERR_OPTION', /did you mean "activation"\?/],
  ['misspelt: standardise', { standardise: true }, 'ERR_OPTION', /did you mean "standardize"\?/],
  ['misspelt: intializer', { intializer: 'zeros' }, 'ERR_OPTION', /did you mean "initializer"\?/],
  ['unknown: colour', { colour: 'red' }, 'ERR_OPTION', /Unknown option "colour" for FNN; it takes inputs, /],
  ['a fit option: epochs', { epochs: 3 }, 'ERR_OPTION', /"epochs"/],
  ['activation: rleu', { activation: 'rleu' }, 'ERR_OPTION', /activation but received "rleu"; did you mean "relu"\?/],
  ['loss: mes', { loss: 'mes' }, 'ERR_OPTION', /did you mean "mse"\?/],
  ['task: multi-class', { task: 'multi-class' }, 'ERR_OPTION', /did you mean "multiclass"\?/],
  ['initializer: xavierUniform', { initializer: 'heUnifrom' }, 'ERR_OPTION', /did you mean "heUniform"\?/],
  ['backend: natve', { backend: 'natve' }, 'ERR_OPTION', /did you mean "native"\?/],
  ['dtype: float46', { dtype: 'float46' }, 'ERR_OPTION', /did you mean "float64"\?/],
  ['standardize: input', { standardize: 'input' }, 'ERR_OPTION', /did you mean "inputs"\?/],
  ['hidden of 0', { hidden: [128, 0] }, 'ERR_OPTION', /positive integer for hidden\[1\] but received 0/],
  ['hidden of −1', { hidden: [-1] }, 'ERR_OPTION', /hidden\[0\] but received -1/],
  ['hidden of 1.5', { hidden: [1.5] }, 'ERR_OPTION', /hidden\[0\]/],
  ['hidden of text', { hidden: ['64'] }, 'ERR_OPTION', /hidden\[0\] but received "64"/],
  ['seed 2³²', { seed: 2 ** 32 }, 'ERR_OPTION', /seed but received 4294967296/],
  ['no layers', { layers: [] }, 'ERR_OPTION', /layers/],
  ['a layer of nothing', { layers: [null] }, 'ERR_OPTION', /layers\[0\] but received null/],
  ['a layer of no kind', { layers: [{ kind: 'dens', units: 1 }] }, 'ERR_OPTION', /did you mean "dense"\?/],
  ['a layer of 0 units', { layers: [{ kind: 'dense', units: 0, activation: 'tanh', bias: null }] }, 'ERR_OPTION', /units/],
  ['a last layer that drops', { layers: [dense(1), dropout(0.5)] }, 'ERR_OPTION', /a layer that gives outputs.* for the last of layers/],
  ['layers and hidden', { layers: [dense(1)], hidden: [3] }, 'ERR_OPTION', /either layers or hidden/],
  ['layers and activation', { layers: [dense(1)], activation: 'relu' }, 'ERR_OPTION', /either layers or activation/],
  ['layers against outputs', { layers: [dense(2)], outputs: 3 }, 'ERR_SHAPE', /last layer to have the 3 units/],
  ['binary of three outputs', { inputs: 2, outputs: 3, task: 'binary' }, 'ERR_OPTION', /binary/],
  ['classes of two types', { classes: ['a', 1] }, 'ERR_OPTION', /classes/],
  ['classes twice', { classes: ['a', 'a'] }, 'ERR_OPTION', /"a" is there twice/],
  ['one class', { classes: ['a'] }, 'ERR_OPTION', /at least two labels for classes/],
  ['classes against outputs', { inputs: 2, outputs: 3, classes: ['a', 'b'] }, 'ERR_SHAPE', /classes/],
  ['initial values of another shape', { inputs: 2, layers: [dense(2, 'sigmoid', { initializer: [[1, 2, 3]] })] }, 'ERR_SHAPE', /2 × 2/],
  ['initial values of NaN', { initializer: [[nan]] }, 'ERR_DATA', /NaN/],
  ['float64 natively', { backend: 'native', dtype: 'float64', inputs: 1, outputs: 1, task: 'regression' }, 'ERR_BACKEND', /float32/],
  ['more weights than memory', { inputs: 2 ** 40, outputs: 1, task: 'binary', hidden: [2 ** 40] }, 'ERR_OPTION', /parameters/],
]

t.test('the constructor', async (t) => {
  for (const value of notObjects)
    await refuses(t, `options ${nameOf(value)}`, () => new FNN(wrong(value)), 'ERR_OPTION', /for the options of FNN/)
  for (const [option, allowed] of Object.entries(MODEL_OPTIONS))
    for (const value of wrongValues(allowed))
      await refuses(
        t,
        `${option} ${nameOf(value)}`,
        () => new FNN({ [option]: value }),
        option === 'initializer' && Array.isArray(value) && value.length > 0 ? 'ERR_DATA' : 'ERR_OPTION',
        new RegExp(option),
      )
  for (const [name, options, code, message] of BAD_MODELS)
    await refuses(t, name, () => new FNN(wrong(options)), code, message)
})

/** Each argument of each factory, and what of the pool it takes. */
const FACTORIES: readonly [name: string, make: (value: never) => unknown, allowed: readonly unknown[]][] = [
  ['units of dense', (v) => dense(v), [3]],
  ['activation', (v) => dense(1, v), []],
  ['options of dense', (v) => dense(1, 'tanh', v), [object]],
  ['bias of dense', (v) => dense(1, 'tanh', { bias: v }), [true, false, numbers, floats]],
  ['initializer', (v) => dense(1, 'tanh', { initializer: v }), [numbers, floats]],
  ['l1 of dense', (v) => dense(1, 'tanh', { l1: v }), [0, 1.5, 3]],
  ['l2 of dense', (v) => dense(1, 'tanh', { l2: v }), [0, 1.5, 3]],
  ['rate of dropout', (v) => dropout(v), [0]],
  ['activation', (v) => downhill.activation(v), []],
  ['options of prelu', (v) => downhill.prelu(v), [object]],
  ['shared of prelu', (v) => downhill.prelu({ shared: v }), [true, false]],
  ['initial of prelu', (v) => downhill.prelu({ initial: v }), [-1, 0, 1.5, 3]],
  ['frozen of dense', (v) => dense(1, 'tanh', { frozen: v }), [true, false]],
  ['frozen of prelu', (v) => downhill.prelu({ frozen: v }), [true, false]],
  ['frozen of layerNorm', (v) => downhill.layerNorm({ frozen: v }), [true, false]],
  ['options of batchNorm', (v) => downhill.batchNorm(v), [object]],
  ['momentum of batchNorm', (v) => downhill.batchNorm({ momentum: v }), []],
  ['epsilon of batchNorm', (v) => downhill.batchNorm({ epsilon: v }), [1.5, 3]],
  ['frozen of batchNorm', (v) => downhill.batchNorm({ frozen: v }), [true, false]],
  ['options of embedding', (v) => downhill.embedding(v), [object]],
  ['columns of embedding', (v) => downhill.embedding({ columns: v, sizes: 3, dimensions: 2 }), [numbers]],
  ['sizes of embedding', (v) => downhill.embedding({ columns: [0], sizes: v, dimensions: 2 }), [3, numbers]],
  ['dimensions of embedding', (v) => downhill.embedding({ columns: [0], sizes: 3, dimensions: v }), [3]],
  [
    'initializer',
    (v) => downhill.embedding({ columns: [0], sizes: 3, dimensions: 1, initializer: v }),
    [numbers, floats],
  ],
  ['l2 of embedding', (v) => downhill.embedding({ columns: [0], sizes: 3, dimensions: 1, l2: v }), [0, 1.5, 3]],
  [
    'frozen of embedding',
    (v) => downhill.embedding({ columns: [0], sizes: 3, dimensions: 1, frozen: v }),
    [true, false],
  ],
  ['of residual', (v) => downhill.residual(v), []],
  ['options of residual', (v) => downhill.residual([dense(1)], v), [object]],
  ['frozen of residual', (v) => downhill.residual([dense(1)], { frozen: v }), [true, false]],
  ['options of layerNorm', (v) => downhill.layerNorm(v), [object]],
  ['epsilon of layerNorm', (v) => downhill.layerNorm({ epsilon: v }), [1.5, 3]],
  ['low of uniform', (v) => downhill.uniform(v, 4), [-1, 0, 1.5, 3]],
  ['high of uniform', (v) => downhill.uniform(-2, v), [-1, 0, 1.5, 3]],
  ['std of normal', (v) => downhill.normal(v), [0, 1.5, 3]],
  ['mean of normal', (v) => downhill.normal(1, v), [-1, 0, 1.5, 3]],
  ['value of constant', (v) => downhill.constant(v), [-1, 0, 1.5, 3]],
  ['options of mse', (v) => downhill.mse(v), [object]],
  ['options of huber', (v) => downhill.huber(v), [object]],
  ['options of crossEntropy', (v) => downhill.crossEntropy(v), [object]],
  ['options of sgd', (v) => downhill.sgd(v), [object]],
  ['options of adamw', (v) => downhill.adamw(v), [object]],
  ['reduction of mse', (v) => downhill.mse({ reduction: v }), []],
  ['scale of mse', (v) => downhill.mse({ scale: v }), [1.5, 3]],
  ['delta of huber', (v) => downhill.huber({ delta: v }), [1.5, 3]],
  ['q of quantile', (v) => downhill.quantile({ q: v }), []],
  ['gamma of focal', (v) => downhill.focal({ gamma: v }), [0, 1.5, 3]],
  ['alpha of focal', (v) => downhill.focal({ alpha: v }), [0]],
  ['from of poisson', (v) => downhill.poisson({ from: v }), []],
  ['labelSmoothing of crossEntropy', (v) => downhill.crossEntropy({ labelSmoothing: v }), [0]],
  ['labelSmoothing of binaryCrossEntropy', (v) => downhill.binaryCrossEntropy({ labelSmoothing: v }), [0]],
  ['options of focal', (v) => downhill.focal(v), [object]],
  ['from of binaryCrossEntropy', (v) => downhill.binaryCrossEntropy({ from: v }), []],
  ['momentum of sgd', (v) => downhill.sgd({ momentum: v }), [0]],
  ['nesterov of sgd', (v) => downhill.sgd({ nesterov: v }), [true, false, 0]],
  ['weightDecay of sgd', (v) => downhill.sgd({ weightDecay: v }), [0, 1.5, 3]],
  ['learningRate of sgd', (v) => downhill.sgd({ learningRate: v }), [0, 1.5, 3]],
  ['beta1 of adam', (v) => downhill.adam({ beta1: v }), [0]],
  ['beta2 of adam', (v) => downhill.adam({ beta2: v }), [0]],
  ['epsilon of adam', (v) => downhill.adam({ epsilon: v }), [0, 1.5, 3]],
  ['weightDecay of adamw', (v) => downhill.adamw({ weightDecay: v }), [0, 1.5, 3]],
  ['decay of rmsprop', (v) => downhill.rmsprop({ decay: v }), [0]],
  ['initialAccumulator of adagrad', (v) => downhill.adagrad({ initialAccumulator: v }), [0, 1.5, 3]],
  ['lrDecay of adagrad', (v) => downhill.adagrad({ lrDecay: v }), [0, 1.5, 3]],
  ['beta2 of amsgrad', (v) => downhill.amsgrad({ beta2: v }), [0]],
  ['momentumDecay of nadam', (v) => downhill.nadam({ momentumDecay: v }), [0, 1.5, 3]],
  ['history of lbfgs', (v) => downhill.lbfgs({ history: v }), [3]],
  ['maxLineSearch of lbfgs', (v) => downhill.lbfgs({ maxLineSearch: v }), [3]],
  ['tolerance of lbfgs', (v) => downhill.lbfgs({ tolerance: v }), [0, 1.5, 3]],
  ['options of cosine', (v) => downhill.cosine(v), [object]],
  ['rate of cosine', (v) => downhill.cosine({ rate: v }), [0, 1.5, 3]],
  ['length of cosine', (v) => downhill.cosine({ length: v }), [3]],
  ['period of cosine', (v) => downhill.cosine({ period: v }), [3]],
  ['multiplier of cosine', (v) => downhill.cosine({ period: 3, multiplier: v }), [1.5, 3]],
  ['min of cosine', (v) => downhill.cosine({ min: v }), [0, 1.5, 3]],
  ['per of cosine', (v) => downhill.cosine({ per: v }), []],
  ['every of step', (v) => downhill.step({ every: v }), [3, numbers]],
  ['factor of step', (v) => downhill.step({ every: 3, factor: v }), []],
  ['factor of exponential', (v) => downhill.exponential({ factor: v }), []],
  ['power of polynomial', (v) => downhill.polynomial({ power: v }), [1.5, 3]],
  ['rise of oneCycle', (v) => downhill.oneCycle({ rise: v }), []],
  ['divide of oneCycle', (v) => downhill.oneCycle({ divide: v }), [1.5, 3]],
  ['shape of oneCycle', (v) => downhill.oneCycle({ shape: v }), []],
  ['length of warmup', (v) => downhill.warmup({ length: v }), [3]],
  ['from of warmup', (v) => downhill.warmup({ length: 3, from: v }), [0]],
  ['schedule of warmup', (v) => downhill.warmup({ length: 3, schedule: v }), [0, 1.5, 3]],
  ['monitor of plateau', (v) => downhill.plateau({ monitor: v }), []],
  ['factor of plateau', (v) => downhill.plateau({ factor: v }), []],
  ['patience of plateau', (v) => downhill.plateau({ patience: v }), [0, 3]],
  ['threshold of plateau', (v) => downhill.plateau({ threshold: v }), [0]],
  ['weightDecay of lion', (v) => downhill.lion({ weightDecay: v }), [0, 1.5, 3]],
]

t.test('the factories', async (t) => {
  for (const [name, make, allowed] of FACTORIES)
    for (const value of wrongValues(allowed)) {
      const isEntries = Array.isArray(value) && value.length > 0 && /bias|initializer/.test(name)
      const code = isEntries ? 'ERR_DATA' : 'ERR_OPTION'
      await refuses(
        t,
        `${name} ${nameOf(value)}`,
        () => make(wrong(value)),
        code,
        name.startsWith('options') ? /the options of|Unknown option/ : new RegExp(name),
      )
    }
  await refuses(t, 'misspelt', () => downhill.sgd(wrong({ momemtum: 0.9 })), 'ERR_OPTION', /did you mean "momentum"\?/)
  await refuses(t, 'another’s', () => downhill.mse(wrong({ delta: 1 })), 'ERR_OPTION', /"delta" for mse/)
  await refuses(t, 'the wrong way round', () => downhill.uniform(1, 0), 'ERR_OPTION', /high of uniform/)
})

// ---------------------------------------------------------------------------------------------------- a trained model

const xor = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
]
const labels = ['off', 'on', 'on', 'off']

interface Probe {
  readonly net: FNN
  /** Fails unless weights and predictions are bit for bit what they were. */
  unchanged(t: Test, name: string): void
}

/** A trained model of two string classes, and its state to compare with. */
function probe({ options }: TestBackend, more: ModelOptions = {}): Probe {
  const net = new FNN({ hidden: [5], seed: 7, ...options, ...more })
  net.fitSync(xor, labels, { epochs: 3, optimizer: 'adam', batchSize: 3 })
  const before = stateOf(net)
  return { net, unchanged: (t, name) => t.same(stateOf(net), before, `${name}: the model is unchanged`) }
}

const stateOf = (net: FNN): unknown => [
  net.weights().map(({ weights, bias }) => [[...weights.data], bias && [...bias]]),
  net.predictProba(xor),
]

/** Each option of fit, and what of the pool it takes. */
const FIT_OPTIONS: { readonly [K in keyof Required<FitOptions>]: readonly unknown[] } = {
  epochs: [3],
  learningRate: [0, 1.5, 3, three],
  optimizer: [],
  batchSize: [3],
  accumulate: [],
  clipNorm: [null, 1.5, 3],
  clipValue: [null, 1.5, 3],
  ema: [null, true, false, 0],
  shuffle: [true, false],
  plot: [true, false],
  dispLoss: [true, false, 0, 3],
  progress: [true, false],
  verbose: [true, false, 0],
  validation: [null],
  sampleWeight: [null, none, numbers, holed, floats],
  classWeight: [null, object],
  metrics: [null, none],
  signal: [null],
  ledger: [true, false],
  onDivergence: [],
  keep: [],
  earlyStopping: [true, false, null, object],
  checkpoint: [null, false, 'banana', '3'],
  resume: [null, true, false, 'banana', '3'],
  callbacks: [null, none, object, ...instances, floats],
}

// biome-ignore format: one case a line
const BAD_FITS: readonly [name: string, options: object, code: ErrorCode, message: RegExp][] = [
  ['misspelt: learningrate', { learningrate: 0.1 }, 'ERR_OPTION', /"learningrate" for fit; did you mean "learningRate"\?/],
  ['misspelt: epoch', { epoch: 3 }, 'ERR_OPTION', /did you mean "epochs"\?/],
  ['misspelt: batch_size', { batch_size: 3 }, 'ERR_OPTION', /did you mean "batchSize"\?/],
  ['misspelt: validaton', { validaton: 0.2 }, 'ERR_OPTION', /did you mean "validation"\?/],
  ['unknown: colour', { colour: 'red' }, 'ERR_OPTION', /Unknown option "colour" for fit; it takes epochs, /],
  ['optimizer: adma', { optimizer: 'adma' }, 'ERR_OPTION', /did you mean "adam"\?/],
  ['optimizer of no kind', { optimizer: { kind: 'sdg' } }, 'ERR_OPTION', /did you mean "sgd"\?/],
  ['batchSize: ful', { batchSize: 'ful' }, 'ERR_OPTION', /positive integer or "full" for batchSize/],
  ['accumulate of full batches', { accumulate: 2 }, 'ERR_OPTION', /batchSize for accumulate/],
  ['learningRate of no schedule', { learningRate: { kind: 'cosin' } }, 'ERR_OPTION', /did you mean "cosine"\?/],
  ['learningRate of a wrong schedule', { learningRate: { kind: 'step', settings: { every: 0 } } }, 'ERR_OPTION', /positive integer for every of step/],
  ['learningRate of a function of no rate', { learningRate: () => 'fast' }, 'ERR_OPTION', /the rate of step 0 from the learningRate function/],
  ['plateau of no validation', { learningRate: downhill.plateau({ monitor: 'valLoss' }) }, 'ERR_OPTION', /validation for a plateau/],
  ['more epochs than can be counted', { epochs: 1e300 }, 'ERR_OPTION', /positive integer for epochs/],
  ['keep: bets', { keep: 'bets' }, 'ERR_OPTION', /did you mean "best"\?/],
  ['ledger: every', { ledger: 'every' }, 'ERR_OPTION', /true, false or "all" for ledger but received "every"/],
  ['onDivergence: trow', { onDivergence: 'trow' }, 'ERR_OPTION', /did you mean "throw"\?/],
  ['plot into a format nobody draws', { plot: 'loss.gif' }, 'ERR_OPTION', /\.svg/],
  ['a callback at no moment', { callbacks: { onEpochEnded() {} } }, 'ERR_OPTION', /"onEpochEnded" for a callback; did you mean "onEpochEnd"\?/],
  ['a callback that is no function', { callbacks: [{ onEpochEnd: 3 }] }, 'ERR_OPTION', /a function for onEpochEnd but received 3/],
  ['earlyStopping without validation', { earlyStopping: true }, 'ERR_OPTION', /^Expected validation rows for the valLoss that earlyStopping monitors but there are none; give validation: 0\.2, or monitor: 'loss'\.$/],
  ['patience of 0', { earlyStopping: { monitor: 'loss', patience: 0 } }, 'ERR_OPTION', /positive integer for patience but received 0/],
  ['patience misspelt', { earlyStopping: { patence: 3 } }, 'ERR_OPTION', /"patence" for earlyStopping; did you mean "patience"\?/],
  ['minDelta below 0', { earlyStopping: { minDelta: -1 } }, 'ERR_OPTION', /a number ≥ 0 for minDelta but received -1/],
  ['restoreBest of text', { earlyStopping: { restoreBest: 'yes' } }, 'ERR_OPTION', /true or false for restoreBest/],
  ['startFrom of 1.5', { earlyStopping: { startFrom: 1.5 } }, 'ERR_OPTION', /an integer ≥ 0 for startFrom/],
  ['a monitor misspelt', { earlyStopping: { monitor: 'valLos' } }, 'ERR_OPTION', /did you mean "valLoss"\?/],
  ['a monitor of another task', { validation: 0.5, earlyStopping: { monitor: 'r2' } }, 'ERR_OPTION', /"valAccuracy", which this run measures, for monitor but received "valR2"\.$/],
  ['checkpoint without a path', { checkpoint: { everyEpochs: 3 } }, 'ERR_OPTION', /a path for checkpoint but received undefined/],
  ['checkpoint at no path', { checkpoint: '' }, 'ERR_OPTION', /a path for checkpoint but received ""/],
  ['checkpoint every 0 epochs', { checkpoint: { path: 'a', everyEpochs: 0 } }, 'ERR_OPTION', /positive integer for everyEpochs/],
  ['checkpoint every 0 minutes', { checkpoint: { path: 'a', everyMinutes: 0 } }, 'ERR_OPTION', /positive number for everyMinutes/],
  ['checkpoint every minute', { checkpoint: { path: 'a', everyMinute: 1 } }, 'ERR_OPTION', /did you mean "everyMinutes"\?/],
  ['all rows held out', { validation: 1 }, 'ERR_OPTION', /share/],
  ['validation without y', { validation: { x: xor } }, 'ERR_OPTION', /validation/],
  ['validation with z', { validation: { x: xor, y: labels, z: 1 } }, 'ERR_OPTION', /"z" for validation/],
  ['validation x of another width', { validation: { x: [[1]], y: ['on'] } }, 'ERR_SHAPE', /2 columns in/],
  ['validation y too short', { validation: { x: xor, y: ['on'] } }, 'ERR_SHAPE', /4 values in/],
  ['validation of an unknown label', { validation: { x: xor, y: ['on', 'on', 'on', 'of'] } }, 'ERR_DATA', /"off", "on" in .* row 3 .*is "of"/],
  ['validation weights for x', { validation: { x: xor, y: labels, sampleWeight: [1] } }, 'ERR_SHAPE', /4 numbers in validation\.sampleWeight/],
  ['no weights', { sampleWeight: none }, 'ERR_DATA', /sampleWeight but it is empty/],
  ['too few weights', { sampleWeight: [1, 2, 3] }, 'ERR_SHAPE', /4 numbers in sampleWeight, one for each row, but it has 3/],
  ['a missing weight', { sampleWeight: [1, 2, null, 4] }, 'ERR_DATA', /sampleWeight but row 2 .*is null/],
  ['a weight of NaN', { sampleWeight: [1, nan, 1, 1] }, 'ERR_DATA', /sampleWeight but row 1 .*is NaN/],
  ['a negative weight', { sampleWeight: [1, 1, -0.5, 1] }, 'ERR_DATA', /numbers ≥ 0 in sampleWeight but row 2 .*is -0\.5/],
  ['weights of nothing', { sampleWeight: new Float32Array(4) }, 'ERR_DATA', /positive, finite sum in sampleWeight but it is 0/],
  ['weights beyond a double', { sampleWeight: [1e308, 1e308, 1e308, 1] }, 'ERR_DATA', /but it is Infinity/],
  ['classWeight: balancd', { classWeight: 'balancd' }, 'ERR_OPTION', /"balanced", a list of numbers or a record/],
  ['three class weights for two', { classWeight: [1, 2, 3] }, 'ERR_OPTION', /2 numbers, one for each class, for classWeight/],
  ['a class weight of NaN', { classWeight: { on: nan } }, 'ERR_OPTION', /a number ≥ 0 for classWeight of on/],
  ['a class weight below 0', { classWeight: [1, -1] }, 'ERR_OPTION', /a number ≥ 0 for classWeight of 1/],
  ['a weight for no class', { classWeight: { onn: 2 } }, 'ERR_OPTION', /classWeight but received "onn"; did you mean "on"\?/],
  ['class weights of nothing', { classWeight: { on: 0, off: 0 } }, 'ERR_DATA', /classWeight leaves none/],
  ['validation x of NaN', { validation: { x: [[nan, 1]], y: ['on'] } }, 'ERR_DATA', /row 0, column 0 .*is NaN/],
]

const detach = <T extends Float32Array | Float64Array | Uint8Array>(array: T): T => {
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] })
  return array
}
interface Resizable extends ArrayBuffer {
  resize(length: number): void
}
const ResizableBuffer = ArrayBuffer as unknown as new (length: number, options: { maxByteLength: number }) => Resizable

/** A Float32Array of the numbers, and the buffer beneath it, which may shrink. */
function resizable(values: readonly number[]): { array: Float32Array; buffer: Resizable } {
  const buffer = new ResizableBuffer(4 * values.length, { maxByteLength: 4 * values.length })
  const array = new Float32Array(buffer, 0, values.length)
  array.set(values)
  return { array, buffer }
}
const shrunk = resizable(xor.flat())
shrunk.buffer.resize(8)

// biome-ignore format: one case a line
const BAD_X: readonly [name: string, x: unknown, code: ErrorCode, message: RegExp][] = [
  ...[undefined, null, true, nan, 3, '', 'banana', {}, { a: 1 }, Symbol('s'), 1n, () => xor, new Map(), new Date(0), Promise.resolve(xor)]
    .map((x) => [nameOf(x), x, 'ERR_DATA', /^Expected an array of rows, an array of numbers, a typed array or a Matrix .* for x but received/] as [string, unknown, ErrorCode, RegExp]),
  ['empty', [], 'ERR_DATA', /it is empty/],
  ['no columns', [[], [], [], []], 'ERR_SHAPE', /at least one column/],
  ['ragged', [[0, 0], [0, 1], [1], [1, 1]], 'ERR_SHAPE', /2 columns in every row of x.* row 2 .*has 1/],
  ['too wide', [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], 'ERR_SHAPE', /2 columns in x but it has 3/],
  ['flat and odd', [1, 2, 3], 'ERR_SHAPE', /rows of 2 numbers in x but its 3/],
  ['too deep', [[[0, 0]]], 'ERR_SHAPE', /at most two dimensions/],
  ['NaN', [[0, 0], [0, 1], [1, 0], [1, nan]], 'ERR_DATA', /^Expected finite numbers in x but row 3, column 1 \(counted from 0\) is NaN\.$/],
  ['Infinity', [[0, 0], [inf, 1], [1, 0], [1, 0]], 'ERR_DATA', /row 1, column 0 .*is Infinity/],
  ['−Infinity', Float32Array.of(0, 0, 0, 0, 0, 0, 0, -inf), 'ERR_DATA', /row 3, column 1 .*is -Infinity/],
  ['text', [[0, 0], [0, '1'], [1, 0], [1, 0]], 'ERR_DATA', /row 1, column 1 .*is "1"/],
  ['a missing entry', [[0, 0], [0, undefined], [1, 0], [1, 0]], 'ERR_DATA', /row 1, column 1 .*is undefined/],
  ['null', [[0, 0], [0, null], [1, 0], [1, 0]], 'ERR_DATA', /row 1, column 1 .*is null/],
  ['bigint', [[0, 0], [0, 1n], [1, 0], [1, 0]], 'ERR_DATA', /is 1n of type bigint/],
  ['a missing row', [[0, 0], undefined, [1, 0], [1, 0]], 'ERR_DATA', /row 1 .*is undefined/],
  ['BigInt64Array', new BigInt64Array(8), 'ERR_DATA', /received a BigInt64Array/],
  ['a Matrix of 0 rows', { data: new Float32Array(0), rows: 0, columns: 2 }, 'ERR_SHAPE', /rows of x but received 0/],
  ['a Matrix of −2 columns', { data: new Float32Array(8), rows: -4, columns: -2 }, 'ERR_SHAPE', /rows of x but received -4/],
  ['a Matrix too long', { data: new Float32Array(9), rows: 4, columns: 2 }, 'ERR_SHAPE', /4 × 2 = 8 entries .*has 9/],
  ['a Matrix without columns', { data: new Float32Array(8), rows: 4 }, 'ERR_SHAPE', /columns of x but received undefined/],
  ['a Matrix of text', { data: 'abcdefgh', rows: 4, columns: 2 }, 'ERR_DATA', /data of x/],
  ['a Matrix of scale 0', { data: new Uint8Array(8), rows: 4, columns: 2, scale: 0 }, 'ERR_DATA', /scale of x but received 0/],
  ['detached', detach(new Float32Array(8)), 'ERR_DATA', /detached/],
  ['detached bytes', { data: detach(new Uint8Array(8)), rows: 4, columns: 2 }, 'ERR_DATA', /detached/],
  ['shrunk', shrunk.array, 'ERR_DATA', /has shrunk/],
]

// biome-ignore format: one case a line
const BAD_Y: readonly [name: string, y: unknown, code: ErrorCode, message: RegExp][] = [
  ...[undefined, null, true, nan, 3, {}, Symbol('s'), 1n, () => labels, 'on', new Map()]
    .map((y) => [nameOf(y), y, 'ERR_DATA', / for y but received/] as [string, unknown, ErrorCode, RegExp]),
  ['empty', [], 'ERR_DATA', /y but it is empty/],
  ['too short', ['on', 'off'], 'ERR_SHAPE', /4 values in y, one for each row of x, but it has 2/],
  ['too long', [...labels, 'on'], 'ERR_SHAPE', /but it has 5/],
  ['an unseen label', ['off', 'on', 'on', 'On'], 'ERR_DATA', /one of the classes "off", "on" in y but row 3 .*is "On"/],
  ['numbers for labels', [0, 1, 1, 0], 'ERR_DATA', /"off", "on" in y but row 0 .*is 0/],
  ['booleans for labels', [false, true, true, false], 'ERR_DATA', /row 0 .*is false/],
  ['mixed', ['off', 'on', 1, 'off'], 'ERR_DATA', /one type in y.* row 2 .*is 1/],
  ['a missing label', ['off', 'on', undefined, 'off'], 'ERR_DATA', /row 2 .*is undefined/],
  ['NaN', [0, 1, nan, 0], 'ERR_DATA', /in y but row 2 .*is NaN/],
  ['three columns', [[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]], 'ERR_SHAPE', /columns in y but it has 3/],
  ['ragged', [[0, 1], [1], [0, 1], [0, 1]], 'ERR_SHAPE', /every row of y/],
  ['detached', detach(new Float32Array(4)), 'ERR_DATA', /in y but it is a Float32Array whose buffer was detached/],
]

/** Each call that takes x and y. */
const PAIR_CALLS: readonly [name: string, call: (net: FNN, x: never, y: never) => unknown][] = [
  ['fit', (net, x, y) => net.fit(x, y, { epochs: 2 })],
  ['fitSync', (net, x, y) => net.fitSync(x, y, { epochs: 2 })],
  ['partialFit', (net, x, y) => net.partialFit(x, y, { epochs: 2 })],
  ['validation of fit', (net, x, y) => net.fit(xor, labels, { epochs: 2, validation: { x, y } })],
  ['evaluate', (net, x, y) => net.evaluate(x, y)],
  ['loss', (net, x, y) => net.loss(x, y)],
  ['gradients', (net, x, y) => net.gradients(x, y)],
]

// biome-ignore format: one case a line
const BAD_WEIGHTS: readonly [name: string, layers: unknown, code: ErrorCode, message: RegExp][] = [
  ...[undefined, null, 3, 'x', {}, [], [null, null, null]].map((w) => [nameOf(w), w, 'ERR_SHAPE', /list of 2 layers/] as [string, unknown, ErrorCode, RegExp]),
  ['layers of nothing', [null, null], 'ERR_SHAPE', /for layer 0 but received null/],
  ['no weights', [{}, {}], 'ERR_SHAPE', /\{ weights, bias \} for layer 0/],
  ['transposed', [{ weights: [[1, 2], [1, 2], [1, 2], [1, 2], [1, 2]], bias: [1, 2, 3, 4, 5] }, { weights: [[1], [1], [1], [1], [1]], bias: [1] }], 'ERR_SHAPE', /weights of layer 0/],
  ['a bias too short', [{ weights: [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]], bias: [1] }, { weights: [[1], [1], [1], [1], [1]], bias: [1] }], 'ERR_SHAPE', /bias of layer 0/],
  ['no bias', [{ weights: [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]] }, { weights: [[1], [1], [1], [1], [1]], bias: [1] }], 'ERR_DATA', /bias of layer 0/],
  ['NaN in the last', [{ weights: [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]], bias: [1, 2, 3, 4, 5] }, { weights: [[1], [1], [1], [1], [1]], bias: [nan] }], 'ERR_DATA', /bias of layer 1 but row 0 .*is NaN/],
]

t.test('a trained model', async (t) => {
  await onEachBackend(t, async (t, backend) => {
    const { net, unchanged } = probe(backend)

    await t.test('options of fit', async (t) => {
      type Attempt = readonly [name: string, options: unknown, code: ErrorCode, message: RegExp]
      const attempts: readonly Attempt[] = [
        ...notObjects.map((v): Attempt => [nameOf(v), v, 'ERR_OPTION', /for the options of fit/]),
        ...Object.entries(FIT_OPTIONS).flatMap(([option, allowed]) =>
          wrongValues(allowed).map(
            (v): Attempt => [
              `${option} ${nameOf(v)}`,
              { [option]: v },
              'ERR_OPTION',
              new RegExp(option.replace(/s$/, '')),
            ],
          ),
        ),
        ...BAD_FITS,
      ]
      for (const [name, options, code, message] of attempts) {
        await refuses(t, `fitSync: ${name}`, () => net.fitSync(xor, labels, wrong(options)), code, message)
        const run = net.fit(xor, labels, wrong(options)) // must not throw
        await refuses(t, `fit: ${name}`, () => run, code, message)
      }
      unchanged(t, 'after wrong options')
    })

    for (const [call, attempt] of PAIR_CALLS)
      await t.test(call, async (t) => {
        const inName = (message: RegExp): RegExp =>
          call.startsWith('validation')
            ? new RegExp(message.source.replace(/\b([xy])\b/g, '(validation )?$1'))
            : message
        for (const [name, x, code, message] of BAD_X)
          await refuses(t, `x ${name}`, () => attempt(net, wrong(x), wrong(labels)), code, inName(message))
        for (const [name, y, code, message] of BAD_Y)
          await refuses(t, `y ${name}`, () => attempt(net, wrong(xor), wrong(y)), code, inName(message))
        unchanged(t, call)
      })

    await t.test('predict, predictProba', async (t) => {
      for (const [name, x, code, message] of BAD_X) {
        await refuses(t, `predict: ${name}`, () => net.predict(wrong(x)), code, message)
        await refuses(t, `predictProba: ${name}`, () => net.predictProba(wrong(x)), code, message)
      }
      unchanged(t, 'predict')
    })

    await t.test('setWeights, reset', async (t) => {
      for (const [name, layers, code, message] of BAD_WEIGHTS)
        await refuses(t, name, () => net.setWeights(wrong(layers)), code, message)
      for (const seed of wrongValues([0, 3]))
        await refuses(t, `seed ${nameOf(seed)}`, () => net.reset(wrong(seed)), 'ERR_OPTION', /seed/)
      unchanged(t, 'setWeights, reset')
    })

    await t.test('nothing that was refused leaves a trace in what is trained later', async (t) => {
      const good: FitOptions = { epochs: 3, batchSize: 2, optimizer: 'adam' }
      const [quiet, tried] = [probe(backend).net, probe(backend).net]
      for (const model of [quiet, tried]) await model.partialFit(xor, labels, good)
      for (const [, x] of BAD_X) await tried.partialFit(wrong(x), labels, good).catch(() => {})
      for (const [, options] of BAD_FITS) await tried.fit(xor, labels, wrong(options)).catch(() => {})
      for (const model of [quiet, tried]) await model.partialFit(xor, labels, good)
      t.same(stateOf(tried), stateOf(quiet))
    })
  })
})

t.test('probabilities of a regression', async (t) => {
  await onEachBackend(t, async (t, { options }) => {
    const net = new FNN({ ...options, hidden: [2] })
    net.fitSync([[1], [2], [3]], [1.5, 2.5, 3.5], { epochs: 1 })
    await refuses(t, 'predictProba', () => net.predictProba([[1]]), 'ERR_OPTION', /regression/)
    await refuses(t, 'labels', () => net.fitSync([[1]], ['a']), 'ERR_DATA', /numbers in y for regression/)
    await refuses(t, 'a column too many', () => net.loss([[1]], [[1, 2]]), 'ERR_SHAPE', /1 columns? in y but it has 2/)
  })
})

// ---------------------------------------------------------------------------------------------------- no model yet

t.test('before a net is built', async (t) => {
  await onEachBackend(t, async (t, { options }) => {
    const net = new FNN({ ...options, hidden: [2] })

    const calls: readonly [name: string, call: () => unknown][] = [
      ['predict', () => net.predict(xor)],
      ['predictProba', () => net.predictProba(xor)],
      ['evaluate', () => net.evaluate(xor, labels)],
      ['loss', () => net.loss(xor, labels)],
      ['gradients', () => net.gradients(xor, labels)],
      ['weights', () => net.weights()],
      ['setWeights', () => net.setWeights([])],
      ['summary', () => net.summary()],
      ['explain', () => net.explain()],
    ]
    for (const [name, call] of calls)
      await refuses(t, name, call, 'ERR_STATE', new RegExp(`for ${name}; call fit first`))
    // A first fit that fails builds nothing, and fixes neither width nor classes.
    await refuses(t, 'fit', () => net.fit([[1], [nan]], ['a', 'b']), 'ERR_DATA')
    await refuses(
      t,
      'validation',
      () => net.fit([[1], [2]], ['a', 'b'], { validation: { x: [[1]], y: ['c'] } }),
      'ERR_DATA',
    )
    await refuses(t, 'one row to split', () => net.fit([[1]], ['a'], { validation: 0.5 }), 'ERR_SHAPE')
    await refuses(t, 'task', () => net.fit([[1], [2], [3]], [3, 5, 9]), 'ERR_OPTION', /option task/)
    await refuses(t, 'weights', () => net.weights(), 'ERR_STATE')
    net.fitSync(xor, labels, { epochs: 1 })
    t.ok(['on', 'off'].includes(String((net.predict([[0, 1]]) as Label[])[0])))
  })
})

// ---------------------------------------------------------------------------------------------------- a busy model

t.test('a busy model refuses what changes it, answers what reads it, and trains as if undisturbed', async (t) => {
  await onEachBackend(t, async (t, backend) => {
    const fit: FitOptions = { epochs: 300, batchSize: 1 }
    const calm = probe(backend).net
    await calm.fit(xor, labels, fit)

    const { net } = probe(backend)
    const run = net.fit(xor, labels, fit)
    let isOver = false
    const over = run.then(() => {
      isOver = true
    })
    const disturb = async (): Promise<void> => {
      const other = net.weights()

      const calls: readonly [name: string, call: () => unknown][] = [
        ['fit', () => net.fit(xor, labels)],
        ['fitSync', () => net.fitSync(xor, labels)],
        ['partialFit', () => net.partialFit(xor, labels)],
        ['setWeights', () => net.setWeights(other)],
        ['reset', () => net.reset()],
      ]
      for (const [name, call] of calls)
        await refuses(t, name, call, 'ERR_BUSY', / but it is training; await its run first\.$/)
      t.equal((net.predict(xor) as Label[]).length, 4)
      t.ok(Number.isFinite(net.loss(xor, labels)))
      t.ok(net.weights().every(({ weights }) => [...weights.data].every(Number.isFinite)))
      t.ok(Number.isFinite(net.evaluate(xor, labels).accuracy))
      t.equal(net.gradients(xor, labels).layers.length, 2)
    }
    t.notOk(isOver)
    await disturb()
    await over
    t.same(stateOf(net), stateOf(calm), 'the same bits as undisturbed')
    t.equal((await net.fit(xor, labels, { epochs: 1 })).status, 'completed', 'idle again')
  })
})

// ---------------------------------------------------------------------------------------------------- memory

/** What a caller may do to the data once fit has returned. */
const TRESPASSES: readonly [name: string, trespass: (x: Float32Array, buffer: Resizable) => void][] = [
  ['overwrites it', (x) => x.fill(nan)],
  ['shrinks it', (_, buffer) => buffer.resize(4)],
  ['shrinks it to nothing', (_, buffer) => buffer.resize(0)],
  ['transfers it away', (_, buffer) => void structuredClone(buffer, { transfer: [buffer] })],
]

t.test('what happens to x, y, weights and validation during a fit does not reach it', async (t) => {
  await onEachBackend(t, async (t, { options }) => {
    const rows = 64
    const numbers = Array.from({ length: rows * 8 }, (_, i) => Math.sin(i * i))
    const targets = Array.from({ length: rows }, (_, i) => Math.cos(3 * i))
    const weights = Array.from({ length: rows }, (_, i) => 1 + (i % 3))
    const train = (trespass: ((x: Float32Array, buffer: Resizable) => void) | null) => {
      const net = new FNN({ ...options, inputs: 8, hidden: [16], seed: 5 })
      const all = [numbers, targets, weights]
      const given = [...all, numbers.slice(0, 80), targets.slice(0, 10), weights.slice(0, 10)].map(resizable)
      const [x, y, sampleWeight, heldX, heldY, heldWeight] = given.map(({ array }) => array)
      const validation = { x: heldX, y: heldY, sampleWeight: heldWeight }
      const run = net.fit(x, y, { epochs: 50, batchSize: 16, sampleWeight, validation })
      if (trespass) for (const { array, buffer } of given) trespass(array, buffer)
      else
        t.same(
          given.slice(0, 3).map(({ array }) => [...array]),
          all.map((list) => [...Float32Array.from(list)]),
          'never written',
        )
      return run
    }
    const calm = await train(null)
    for (const [name, trespass] of TRESPASSES) {
      const history = await train(trespass)
      t.same([history.loss, history.valLoss], [calm.loss, calm.valLoss], `a caller who ${name}`)
    }
  })
})

t.test('every kind of x trains to the same bits, and is not written', async (t) => {
  await onEachBackend(t, async (t, { options }) => {
    const bytes = xor.flat()
    const kinds = [
      xor,
      bytes,
      xor.map((row) => Float32Array.from(row)),
      ...[Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Uint8Array, Uint16Array, Uint32Array].map(
        (Kind) => Kind.from(bytes),
      ),
      Uint8ClampedArray.from(bytes),
      { data: Float32Array.from(bytes), rows: 4, columns: 2 },
      { data: Float64Array.from(bytes, (v) => v / 4), rows: 4, columns: 2, scale: 4 },
      { data: Uint8Array.from(bytes, (v) => v * 4), rows: 4, columns: 2, scale: 0.25 },
    ]
    const losses = kinds.map((x) => {
      const before = structuredClone(x)
      const { loss } = new FNN({ ...options, hidden: [3], seed: 2 }).fitSync(x, labels, { epochs: 5 })
      t.same(x, before)
      return [...loss]
    })
    for (const loss of losses) t.same(loss, losses[0])
  })
})

// ---------------------------------------------------------------------------------------------------- runs that end

t.test('an error reaches whoever listens, each time they ask', async (t) => {
  const net = new FNN({ backend: 'typescript', hidden: [2] })
  const run = net.fit(wrong('x'), labels)
  const ask = async (): Promise<void> => {
    for await (const _ of run) t.fail('an epoch')
  }
  await refuses(t, 'iterated', ask, 'ERR_DATA')
  await refuses(t, 'awaited', () => run, 'ERR_DATA')
  await refuses(t, 'awaited again', () => run.then(), 'ERR_DATA')
  await refuses(t, 'iterated again', ask, 'ERR_DATA')
  await refuses(t, 'finally', () => run.finally(), 'ERR_DATA')
  t.equal(await run.catch(() => 'caught'), 'caught')
})

const runNode = promisify(execFile)
const script = (tail: string): Promise<{ stdout: string; stderr: string }> =>
  runNode(process.execPath, [
    '-e',
    `const { FNN } = require('downhill')
     process.on('unhandledRejection', (error) => console.log('unhandled', error.code))
     const run = new FNN({ backend: 'typescript' }).fit([[NaN]], [1]);
     ${tail};
     setTimeout(() => console.log('alive'), 50)`,
  ])

t.test('only an error that nobody hears is an unhandled rejection', async (t) => {
  t.equal((await script('')).stdout, 'unhandled ERR_DATA\nalive\n')
  t.equal((await script('run.catch(() => {})')).stdout, 'alive\n')
  t.equal((await script('run.then(() => {}, () => {})')).stdout, 'alive\n')
  t.equal((await script('(async () => { try { for await (const e of run); } catch {} })()')).stdout, 'alive\n')
})

t.test('abort and divergence carry the history, and leave finite weights', async (t) => {
  await onEachBackend(t, async (t, backend) => {
    const { net, unchanged } = probe(backend)
    const reason = new Error('enough')
    const early = net.fit(xor, labels, { signal: AbortSignal.abort(reason) })
    await refuses(t, 'aborted before', () => early, 'ERR_ABORTED')
    t.equal(((await early.catch((error) => error)) as DownhillError).cause, reason)
    unchanged(t, 'aborted before')

    const controller = new AbortController()
    const run = net.fit(xor, labels, { epochs: 10_000_000, signal: controller.signal })
    for await (const epoch of run) {
      t.equal(epoch.epoch, 1)
      break
    }
    controller.abort(reason)
    const error = (await run.catch((error) => error)) as DownhillError
    t.same([error.code, error.cause], ['ERR_ABORTED', reason])
    t.ok((error.history as { loss: Float64Array }).loss.length > 0)
    t.ok(net.weights().every(({ weights }) => [...weights.data].every(Number.isFinite)))

    const wild = (): FNN => new FNN({ ...backend.options, hidden: [], seed: 1, task: 'regression' })
    const far = { epochs: 1000, learningRate: 1e30 }
    const history = await wild().fit(xor, [1, 2, 3, 4], far)
    t.equal(history.status, 'diverged')
    t.notOk(Number.isFinite(history.loss[history.loss.length - 1]))
    await refuses(t, 'diverged', () => wild().fit(xor, [1, 2, 3, 4], { ...far, onDivergence: 'throw' }), 'ERR_DIVERGED')
    await refuses(
      t,
      'diverged',
      () => wild().fitSync(xor, [1, 2, 3, 4], { ...far, onDivergence: 'throw' }),
      'ERR_DIVERGED',
    )
  })
})

// ---------------------------------------------------------------------------------------------------- anything at all

t.test('any options and any data make a result or one of the codes', async (t) => {
  const value = fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom(...pool) },
    { weight: 2, arbitrary: fc.constantFrom('tanh', 'relu', 'mse', 'huber', 'multiclass', 'adam', 'zeros', 'full') },
    { weight: 3, arbitrary: fc.integer({ min: -1, max: 9 }) },
    { weight: 1, arbitrary: fc.array(fc.integer({ min: -1, max: 4 }), { maxLength: 3 }) },
    { weight: 1, arbitrary: fc.double({ noInteger: true }) },
  )
  const options = (names: string[]) => fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 2 })
  const x = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom<unknown>(xor, xor.flat(), Float32Array.from(xor.flat())) },
    { weight: 1, arbitrary: fc.constantFrom<unknown>(...BAD_X.map(([, x]) => x)) },
    {
      weight: 1,
      arbitrary: fc.array(fc.array(fc.float({ noNaN: true }), { minLength: 1, maxLength: 3 }), { maxLength: 5 }),
    },
  )
  const y = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.constantFrom<unknown>(
        labels,
        [0, 1, 1, 0],
        [0.5, 1, 2, 3],
        [
          [1, 0],
          [0, 1],
          [1, 0],
          [0, 1],
        ],
      ),
    },
    { weight: 1, arbitrary: fc.constantFrom<unknown>([0, 1, 2, 3], ...BAD_Y.map(([, y]) => y)) },
    { weight: 1, arbitrary: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 5 }) },
  )
  const fitNames = Object.keys(FIT_OPTIONS).filter(
    (name) => !['plot', 'dispLoss', 'callbacks', 'checkpoint'].includes(name),
  )
  let done = 0
  await fc.assert(
    fc.asyncProperty(options(Object.keys(MODEL_OPTIONS)), options(fitNames), x, y, async (model, fit, x, y) => {
      try {
        const net = new FNN(wrong({ hidden: [2], backend: 'typescript', ...model }))
        const history = await net.fit(wrong(x), wrong(y), wrong({ epochs: 2, ...fit }))
        net.predict(wrong(x))
        net.evaluate(wrong(x), wrong(y))
        t.ok(['completed', 'diverged'].includes(history.status))
        done++
      } catch (error) {
        if (!(error instanceof DownhillError) || !CODES.includes(error.code)) throw error
        if (!/^[A-Z][^\n]*[.?]$/.test(error.message)) throw new Error(`no sentence: ${error.message}`)
      }
    }),
    { numRuns: 1500 },
  )
  t.ok(done > 30, `${done} of them trained`)
})
