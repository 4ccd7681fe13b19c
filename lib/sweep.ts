/**
 * Sweeps: one program over rates × initial scales × seeds, every run classified by what became of it.
 *
 * The runs go on side by side, as many as there are cores, one thread each. What becomes of each is foretold first, from
 * two fifths of it run on a copy (doctor/forecast.ts), then run and judged; of mini-batches by the loss of a fixed sample.
 * A run that has certainly left for infinity is ended there. It trains and sorts; why a run did what it did is the
 * doctor's business.
 */
import { extname } from 'node:path'
import { blueprint, knownOf } from './build'
import { encodePair, fitCodec } from './data/codec'
import { type Inputs, selectRows } from './data/matrix'
import { inferCoding, readPair, selectTargets, type Targets } from './data/targets'
import { readWeights, selectWeights, weighClasses } from './data/weights'
import { FORESEEN, forecast, STRIDE } from './doctor/forecast'
import { chanceLoss, classify, type Outcome, TOLERANCE } from './doctor/outcome'
import { sample } from './doctor/sample'
import { asInputs, asTargets, type Program } from './doctor/subject'
import { expected, refuseUnknown } from './errors'
import { FNN } from './fnn'
import { indexColumns } from './layers'
import { lossRow } from './losses'
import { checkNumber, RANGES } from './names'
import { type ModelOptions, readModelOptions } from './options'
import { alike, lossChart, writeChart, writePage } from './plot'
import { renderHeat } from './plot/heat'
import { drawSeed, random } from './random'
import { sideBySide } from './search/validate'
import type { Callback } from './train/callbacks'
import type { History } from './train/history'
import { type FitOptions, QUIET, readFitOptions, UNTRACED } from './train/options'

export interface SweepOptions {
  model?: ModelOptions
  fit?: FitOptions
  x: Inputs
  y: Targets
  /** Rates, each ≥ 0. @default that of fit */
  learningRate?: readonly number[]
  /** Factors of the drawn weights, each > 0. @default that of model */
  initScale?: readonly number[]
  /** Starts a combination: a count, from the model's seed on. @default 1 */
  seeds?: number
}

export interface SweepRun {
  readonly learningRate: number
  readonly initScale: number
  readonly seed: number
  readonly loss: Float64Array
  /** The class foretold from two fifths of the run, before it was run. */
  readonly predicted: Outcome
  readonly outcome: Outcome
  readonly status: History['status']
}

export interface Sweep {
  readonly runs: readonly SweepRun[]
  /**
   * A map of outcomes over rates and scales, and the curves: as a string for the terminal, or written to a path
   * (.html with the map, .svg or .png the curves alone), which is then returned.
   */
  plot(path?: string): string
}

/** Fewer losses foretell nothing. */
const LEAST = 10
/** Rows that curvature is measured on, and a mini-batch run judged by. */
const SAMPLE_ROWS = 1024
/** A loss this many times its first one, after as many rises without a fall, does not come back (growth is geometric). */
const GONE = { times: 1e6, rises: 10 }

/**
 * Trains the program once for each rate, scale and seed.
 * @throws what `fit` rejects with
 */
export async function sweep(options: SweepOptions): Promise<Sweep> {
  refuseUnknown(options, ['model', 'fit', 'x', 'y', 'learningRate', 'initScale', 'seeds'], 'sweep')
  const { model = {}, fit = {}, x, y, seeds = 1 } = options
  const first = model.seed ?? drawSeed()
  const rates = readList(options.learningRate, 'learningRate', RANGES.notNegative)
  const scales = readList(options.initScale, 'initScale', RANGES.positive)
  const count = checkNumber(seeds, RANGES.count, 'seeds')
  const asked = (rates ?? [undefined]).flatMap((learningRate) =>
    (scales ?? [model.initScale ?? 1]).flatMap((initScale) =>
      Array.from({ length: count }, (_, i) => ({ learningRate, initScale, seed: (first + i) >>> 0 })),
    ),
  )
  const data = readData(model, fit, x, y)
  const runs = await sideBySide(asked.length, async (i): Promise<SweepRun> => {
    const { learningRate, initScale, seed } = asked[i]
    const program: Program = {
      model: { threads: 1, ...model, initScale, seed },
      fit: { ...fit, ...UNTRACED, ...(learningRate !== undefined && { learningRate }) },
    }
    const predicted = await foretold(program, data)
    const [history, losses] = await ran(new FNN(program.model), 'fit', program.fit, data)
    return {
      learningRate: learningRate ?? readFitOptions(fit).learningRate,
      initScale,
      seed,
      loss: history.loss,
      predicted,
      outcome: classify(losses, data),
      status: history.status,
    }
  })
  return { runs, plot: (path) => plotSweep(runs, path) }
}

// ---------------------------------------------------------------------------------------------------- one run

/** What all runs of a sweep share: the data, and by what a run is judged. */
interface Data {
  readonly x: Inputs
  readonly y: Targets
  readonly rows: number
  /** Rows that runs of mini-batches are judged by. */
  readonly sample: { readonly x: Inputs; readonly y: Targets; readonly sampleWeight?: Float64Array }
  /** How much each row counts in a loss. */
  readonly sampleWeight?: Float64Array
  readonly tolerance: number
  /** The loss of the best prediction that does not look at x. */
  readonly chance: number
}

function readData(model: ModelOptions, fit: FitOptions, x: Inputs, y: Targets): Data {
  const config = readModelOptions(model)
  const known = knownOf(config)
  const indices = indexColumns(config.layers ?? [])
  const { inputs, dtype } = config
  const read = readPair(x, y, { inputs: inputs ?? undefined, outputs: known.outputs, dtype, indices })
  const coding = inferCoding(read.targets, known)
  const { rows } = read.features
  const { classWeight } = readFitOptions(fit)
  const weights = weighClasses(readWeights(fit.sampleWeight, rows), read.targets, coding, classWeight)
  const pair = { ...read, sampleWeight: weights }
  const { loss } = blueprint(config, pair.features.columns, coding)
  const codec = fitCodec(pair, coding, config.standardize, indices)
  const chance = chanceLoss(loss, encodePair(codec, pair, lossRow(loss).classTargets, config.dtype))
  const picked = sample(rows, SAMPLE_ROWS, random(config.seed, 'sample'))
  const judges = {
    x: asInputs(selectRows(pair.features, picked)),
    y: asTargets(selectTargets(pair.targets, picked)),
    ...weightsOf(selectWeights(weights, picked)),
  }
  return { x, y, rows, sample: judges, ...weightsOf(weights), tolerance: TOLERANCE[config.dtype], chance }
}

/** Weights as an option; rows none of which counts are taken as they are. */
function weightsOf(weights: Float64Array | null): { sampleWeight?: Float64Array } {
  return weights?.some((weight) => weight > 0) ? { sampleWeight: weights } : {}
}

/** Options under which a training is foretold: what only looks at it, or ends it early, is left away. */
const UNWATCHED: FitOptions = {
  ...QUIET,
  validation: undefined,
  metrics: undefined,
  keep: 'last',
  earlyStopping: false,
}

/**
 * Trains, and returns the losses to judge it by: its own where each step sees all rows, else those of the sample, before
 * the first epoch and after each.
 */
async function ran(net: FNN, call: 'fit' | 'partialFit', fit: FitOptions, data: Data): Promise<[History, number[]]> {
  const { x, y, sample } = data
  const batch = fit.batchSize ?? 'full'
  const isFull = batch === 'full' || batch >= data.rows
  const losses: number[] = []
  const options = weightsOf(sample.sampleWeight ?? null)
  const look = (): void => void losses.push(net.loss(sample.x, sample.y, options))
  const watch: Callback = { onTrainBegin: look, onEpochEnd: look }
  const run = net[call](x, y, isFull ? fit : { ...fit, callbacks: [fit.callbacks ?? [], watch].flat() })
  let [start, rose, before] = [Number.NaN, 0, Number.POSITIVE_INFINITY]
  for await (const { loss } of run) {
    if (Number.isNaN(start)) start = loss
    rose = loss > before ? rose + 1 : 0
    before = loss
    if (rose >= GONE.rises && loss > GONE.times * Math.abs(start)) run.stop()
  }
  const history = await run
  // A diverged run ends with the loss that says so.
  return [history, isFull || history.status === 'diverged' ? [...history.loss] : losses]
}

/** What the run will become, from runs of its beginning on copies. */
async function foretold({ model, fit }: Program, data: Data): Promise<Outcome> {
  const { epochs = 100, optimizer } = fit
  const beginning = Math.max(LEAST, Math.ceil(FORESEEN * epochs))
  const middle = beginning >> 1
  const net = new FNN(model)
  const losses: number[] = []
  const ratios: number[] = []
  let rate = 0
  for (const part of [middle, beginning - middle]) {
    const [{ status, learningRate }, seen] = await ran(net, 'partialFit', { ...fit, ...UNWATCHED, epochs: part }, data)
    losses.push(...seen)
    if (status !== 'completed') return 'diverging'
    const rows = Math.min(data.rows, SAMPLE_ROWS)
    const limits = net.learningRateLimits(data.x, data.y, { optimizer, rows, ...weightsOf(data.sampleWeight ?? null) })
    rate = learningRate[learningRate.length - 1]
    // Not every optimizer has a stable rate, nor is one finite wherever a loss is.
    ratios.push(rate / (await limits.then(({ stable }) => stable).catch(() => Number.NaN)))
  }
  const coarse = async (): Promise<number[]> => {
    const fewer = Math.max(LEAST, Math.round(epochs / STRIDE))
    const strides = { ...fit, ...UNWATCHED, epochs: fewer, learningRate: STRIDE * rate }
    return (await ran(new FNN(model), 'fit', strides, data))[1]
  }
  const [before, now] = ratios
  const { tolerance, chance } = data
  return forecast({ losses, steps: epochs, ratios: [before, now], tolerance, chance, coarse })
}

function readList(
  value: readonly number[] | undefined,
  name: string,
  range: (typeof RANGES)['positive' | 'notNegative'],
): readonly number[] | null {
  if (value === undefined) return null
  if (!Array.isArray(value) || value.length === 0) throw expected('a list of numbers', name, value)
  return value.map((v, i) => checkNumber(v, range, `${name}[${i}]`))
}

const LETTERS: { readonly [O in Outcome]: string } = {
  monotone: 'm',
  transient: 't',
  edgeOfStability: 'e',
  stalled: 's',
  diverging: 'D',
}

function plotSweep(runs: readonly SweepRun[], path?: string): string {
  const rates = [...new Set(runs.map((run) => run.learningRate))]
  const scales = [...new Set(runs.map((run) => run.initScale))]
  const at = (scale: number, rate: number): SweepRun[] =>
    runs.filter((run) => run.learningRate === rate && run.initScale === scale)
  const map = {
    title: 'What became of the runs',
    columns: { label: 'learning rate', names: rates.map(String) },
    rows: { label: 'initial scale', names: scales.map(String) },
    cells: scales.map((scale) => rates.map((rate) => at(scale, rate).map(({ outcome }) => outcome))),
    legend: LETTERS,
  }
  const charts = alike(
    scales.flatMap((scale) =>
      rates.map((rate) => {
        const [run, ...others] = at(scale, rate)
        const chart = lossChart({ loss: run.loss }, { title: `rate ${rate}, scale ${scale}`, note: run.outcome })
        return {
          ...chart,
          series: [...chart.series, ...others.map(({ loss, seed }) => ({ name: `seed ${seed}`, y: loss }))],
        }
      }),
    ),
  )
  if (path === undefined) return renderHeat(map)
  if (extname(path).toLowerCase() !== '.html') return writeChart(charts, path)
  const right = runs.filter(({ predicted, outcome }) => predicted === outcome).length
  return writePage(
    {
      title: map.title,
      text: [`${runs.length} runs; ${right} became what two fifths of them, run before on a copy, had foretold.`],
      sections: [
        {
          heading: 'Outcomes',
          table: {
            columns: ['initial scale \\ rate', ...map.columns.names],
            rows: scales.map((scale, r) => [
              String(scale),
              ...map.cells[r].map((cell) => [...new Set(cell)].join(', ')),
            ]),
          },
        },
        { heading: 'Curves', charts },
      ],
    },
    path,
  )
}
