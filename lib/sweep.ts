/**
 * Sweeps: one program over rates × initial scales × seeds, every run classified by what became of it.
 *
 * The runs go on side by side, as many as there are cores, one thread each. Each is judged twice: from its first fifth,
 * which is the prediction, and from all of it. A run that has certainly left for infinity is ended there. It trains and
 * sorts; why a run did what it did is the doctor's business.
 */
import { extname } from 'node:path'
import { physicalCores } from './backends/cores'
import { blueprint, knownOf } from './build'
import { encodePair, fitCodec } from './data/codec'
import type { Inputs } from './data/matrix'
import { inferCoding, readPair, type Targets } from './data/targets'
import { chanceLoss, classify, type Outcome, TOLERANCE } from './doctor/outcome'
import { expected, refuseUnknown } from './errors'
import { FNN } from './fnn'
import { lossRow } from './losses'
import { checkNumber, RANGES } from './names'
import { type ModelOptions, readModelOptions } from './options'
import { alike, lossChart, writeChart, writePage } from './plot'
import { renderHeat } from './plot/heat'
import { drawSeed } from './random'
import type { History } from './train/history'
import type { FitOptions } from './train/options'

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
  /** The class of the run's first fifth, before the rest was seen. */
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

/** Part of a run from which its outcome is predicted. */
const PREFIX = 0.2
/** Fewer losses predict nothing. */
const LEAST = 10
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
  const asked = (rates ?? [fit.learningRate]).flatMap((learningRate) =>
    (scales ?? [model.initScale ?? 1]).flatMap((initScale) =>
      Array.from({ length: count }, (_, i) => ({ learningRate, initScale, seed: (first + i) >>> 0 })),
    ),
  )
  const chance = chanceOf(model, x, y)
  const runs: SweepRun[] = new Array(asked.length)
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < asked.length) {
      const at = next++
      const { learningRate, initScale, seed } = asked[at]
      const net = new FNN({ threads: 1, ...model, initScale, seed })
      const run = net.fit(x, y, {
        ...fit,
        plot: false,
        dispLoss: 0,
        ...(learningRate !== undefined && { learningRate }),
      })
      let [start, rose, before] = [Number.NaN, 0, Number.POSITIVE_INFINITY]
      for await (const { loss } of run) {
        if (Number.isNaN(start)) start = loss
        rose = loss > before ? rose + 1 : 0
        before = loss
        if (rose >= GONE.rises && loss > GONE.times * Math.abs(start)) run.stop()
      }
      const history = await run
      const rate = learningRate ?? history.learningRate[0]
      runs[at] = judged(history, { learningRate: rate, initScale, seed }, chance, model.dtype)
    }
  }
  await Promise.all(Array.from({ length: Math.min(asked.length, physicalCores()) }, worker))
  return { runs, plot: (path) => plotSweep(runs, path) }
}

/** The loss of the best prediction that does not look at x. */
function chanceOf(model: ModelOptions, x: Inputs, y: Targets): number {
  const config = readModelOptions(model)
  const known = knownOf(config)
  const pair = readPair(x, y, { inputs: config.inputs ?? undefined, outputs: known.outputs, dtype: config.dtype })
  const coding = inferCoding(pair.targets, known)
  const { loss } = blueprint(config, pair.features.columns, coding)
  const codec = fitCodec(pair, coding, config.standardize)
  return chanceLoss(loss, encodePair(codec, pair, lossRow(loss).classTargets, config.dtype))
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

function judged(
  { loss, status }: History,
  run: Pick<SweepRun, 'learningRate' | 'initScale' | 'seed'>,
  chance: number,
  dtype: ModelOptions['dtype'] = 'float32',
): SweepRun {
  const tolerance = TOLERANCE[dtype]
  const prefix = loss.subarray(0, Math.max(LEAST, Math.ceil(PREFIX * loss.length)))
  return {
    ...run,
    loss,
    predicted: classify(prefix, { tolerance, chance }),
    outcome: classify(loss, { tolerance, chance }),
    status,
  }
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
      text: [`${runs.length} runs; the class seen in the first fifth of a run was the final one in ${right}.`],
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
