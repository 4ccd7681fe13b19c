/**
 * The question, run: why does my loss rise? (`npm start`)
 *
 * A network of 128 and 64 tanh units and one sigmoid, trained by full-batch gradient descent, whose loss falls at a rate
 * of 0.01 and rises at a larger one or from larger weights. Here it is trained on real data from the asker's start and
 * from one scaled by fan-in, on raw and on standardised inputs, at three rates: twelve runs, drawn here and on one page.
 * Then the doctor is asked, on the same network and data: are the gradients right, with and without the fault of the
 * asker's `db1`; what does it find at each start; what become of rates and scales; what do L2 and dropout add to the loss
 * one reads. Everything said at the end was measured in the run that says it; nothing is explained that was not looked at.
 * `npm run question` is the long form: more rates, scales and starts, and more time for the doctor.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import {
  backendInfo,
  type CsvData,
  dense,
  dropout,
  FNN,
  normal,
  readCsv,
  type SweepRun,
  sweep,
  uniform,
} from 'downhill'
import {
  alike,
  type Chart,
  formatMeasured,
  lossChart,
  renderTerminal,
  rises,
  type Section,
  type Table,
  writePage,
} from '../dist/plot'

const SEED = 1
const EPOCHS = 100
const RATES = [0.01, 0.1, 1]
/** The long form asks for more of everything. */
const LONG = process.argv.includes('--long')
const SWEEP = LONG
  ? { learningRate: [0.01, 0.03, 0.1, 0.3, 1, 3], initScale: [0.1, 0.3, 1, 3, 10], seeds: 5 }
  : { learningRate: [0.01, 0.1, 1], initScale: [0.1, 1, 10], seeds: 2 }
/** Seconds the doctor may try causes out, a program. */
const BUDGET = LONG ? 30 : 2
/** A rise is more than this share of the loss: less is rounding in float32. */
const TOLERANCE = 1e-5

/** How W1, W2 and W3 are drawn. Biases begin at zero. */
const STARTS = [
  {
    name: "the asker's start",
    says: 'W1 uniform in [0, 1), W2 and W3 standard normal',
    weights: [uniform(0, 1), normal(1), normal(1)],
  },
  {
    name: 'the scaled start',
    says: 'normal, with standard deviation 1/√(fan-in)',
    weights: [normal(1 / Math.sqrt(30)), normal(1 / Math.sqrt(128)), normal(1 / Math.sqrt(64))],
  },
] as const
type Start = (typeof STARTS)[number]

const INPUTS = [
  { name: 'standardised inputs', standardize: 'inputs' },
  { name: 'raw inputs', standardize: false },
] as const
type Inputs = (typeof INPUTS)[number]

interface Options {
  backend?: 'native' | 'typescript'
  dtype?: 'float64'
}

/** The options of `network`, as the doctor changes them. */
function program(start: Start, inputs: Inputs) {
  const [W1, W2, W3] = start.weights
  return {
    inputs: 30,
    layers: [
      dense(128, 'tanh', { initializer: W1 }),
      dense(64, 'tanh', { initializer: W2 }),
      dense(1, 'sigmoid', { initializer: W3 }),
    ],
    loss: 'binaryCrossEntropy',
    standardize: inputs.standardize,
    seed: SEED,
  } as const
}

/** The question's network at one of its starts. */
function network(start: Start, inputs: Inputs, options: Options = {}): FNN {
  return new FNN({ ...program(start, inputs), ...options })
}

/** What came of one run. `loss[n]` is the loss after n steps. */
interface Result {
  start: Start
  inputs: Inputs
  rate: number
  loss: Float64Array
  /** The steps that raised the loss. */
  rose: number[]
  accuracy: number
  stopReason: string
  /** Every loss and gradient was finite. */
  isWhole: boolean
}

async function train({ x, y }: CsvData, start: Start, inputs: Inputs, rate: number): Promise<Result> {
  const net = network(start, inputs)
  const history = await net.fit(x, y, { epochs: EPOCHS, learningRate: rate, batchSize: 'full' })
  const end = net.evaluate(x, y)
  const isWhole = history.status === 'completed'
  // The history holds the loss before each update; the loss after the last one completes the curve.
  const loss = isWhole ? Float64Array.of(...history.loss, end.loss) : history.loss
  const rose = rises(loss, TOLERANCE)
  return {
    start,
    inputs,
    rate,
    loss,
    rose,
    accuracy: end.accuracy ?? Number.NaN,
    stopReason: history.stopReason,
    isWhole,
  }
}

function chartOf(result: Result, chance: number): Chart {
  return lossChart(result, {
    title: `rate ${result.rate}`,
    unit: 'step',
    first: 0,
    tolerance: TOLERANCE,
    levels: [{ name: 'label entropy', value: chance }],
  })
}

// ---------------------------------------------------------------------------------------------------- in words

const plural = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`
const percent = (share: number): string => `${(100 * share).toFixed(1)}\u00a0%`

/** 1, 2, 3, 7 → 1–3, 7 */
function spans(steps: number[]): string {
  const found: [number, number][] = []
  for (const step of steps) {
    const last = found.at(-1)
    if (last && last[1] === step - 1) last[1] = step
    else found.push([step, step])
  }
  return found.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(', ')
}

const listed = (items: (string | number)[]): string =>
  items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`

/** What became of one run, in words. */
function reading({ loss, rose, isWhole, stopReason }: Result, chance: number): string {
  const [first, last] = [loss[0], loss[loss.length - 1]]
  const how = rose.length === 0 ? 'never rose' : `rose on ${rose.length} of ${plural(loss.length - 1, 'step')}`
  if (!isWhole) return `${how}, then stopped: ${stopReason}`
  const where = last > first ? 'ended above where it began' : rose.length > 0 ? 'ended lower' : 'fell'
  const near = Math.abs(last - chance) < 0.01 * chance ? ', as good as knowing only how many are benign' : ''
  return `${how}, ${where}${near}`
}

/** Where a run began and ended. */
function fromTo({ loss }: Result): string {
  return `${formatMeasured(loss[0])} → ${formatMeasured(loss[loss.length - 1])}`
}

/** The same start on the same inputs at all rates: which of them rose. */
function compared(results: Result[]): string {
  const calm = results.filter((r) => r.rose.length === 0)
  const others = results.filter((r) => r.rose.length > 0)
  const never = calm.length > 0 ? `never rose at ${listed(calm.map((r) => r.rate))}` : ''
  const steps = others.map((run) => `rose on ${plural(run.rose.length, 'step')} at ${run.rate} (${fromTo(run)})`)
  return `${results[0].start.name} ${listed([never, ...steps].filter((s) => s !== ''))}`
}

/** What the question asked, in sentences that hold measured numbers only. */
function answer(results: Result[], gradientError: number): string[] {
  const sentences = INPUTS.map((inputs) => {
    const parts = STARTS.map((start) => compared(results.filter((r) => r.inputs === inputs && r.start === start)))
    return `On ${inputs.name}, ${parts.join('; ')}.`
  })
  const rising = results.filter((r) => r.rose.length > 0)
  const lower = rising.filter((r) => r.isWhole && r.loss[r.loss.length - 1] < r.loss[0])
  return [
    ...sentences,
    `The loss rose in ${rising.length} of the ${results.length} runs and ended below its start in ${lower.length} of those; the gradients ` +
      'were right where they were checked, at all four starting points: slopes along random directions agree with differences of ' +
      `the loss to ${gradientError.toExponential(0)} of their size (float64).`,
  ]
}

// ---------------------------------------------------------------------------------------------------- two checks

/**
 * Are the gradients right? The slope of the loss along a direction is gᵀv; how far, relatively, a centred difference of
 * losses differs from it, at worst over three directions of random signs. An error in any entry of g shows in all three.
 */
function gradientError({ x, y }: CsvData, start: Start, inputs: Inputs): number {
  const net = network(start, inputs, { backend: 'typescript', dtype: 'float64' })
  // One step at rate 0 changes no weight and lets the model see how the inputs are scaled.
  net.fitSync(x, y, { epochs: 1, learningRate: 0 })
  const weights = net.weights()
  const { layers } = net.gradients(x, y)
  // Raw inputs reach 4254: a longer step bends the loss, a shorter one drowns in rounding.
  const step = 1e-7
  const errors = [1, 2, 3].map((direction) => {
    /** Moves all parameters by `distance` along the direction; the slope adds up on the way. */
    const lossAt = (distance: number): { loss: number; slope: number } => {
      let slope = 0
      let i = 0
      const moved = (from: ArrayLike<number>, g: ArrayLike<number>): Float64Array =>
        Float64Array.from(from, (w, k) => {
          const sign = Math.imul(++i, 0x9e3779b1 * direction) < 0 ? -1 : 1
          slope += sign * g[k]
          return w + sign * distance
        })
      net.setWeights(
        weights.map(({ weights: W, bias }, l) => ({
          weights: { ...W, data: moved(W.data, layers[l].weights.data) },
          bias: bias && moved(bias, layers[l].bias ?? []),
        })),
      )
      return { loss: net.loss(x, y), slope }
    }
    const [ahead, behind] = [lossAt(step), lossAt(-step)]
    return Math.abs((ahead.loss - behind.loss) / (2 * step) / ahead.slope - 1)
  })
  return Math.max(...errors)
}

// ---------------------------------------------------------------------------------------------------- the doctor

/** Are the gradients wrong? The asker's db1 was summed over the units too, and handed to all of them. */
async function gradientsTold({ x, y }: CsvData): Promise<string[]> {
  const net = network(STARTS[0], INPUTS[0])
  net.fitSync(x, y, { epochs: 1, learningRate: 0 })
  const right = await net.checkGradients(x, y)
  const theirs = net.gradients(x, y).layers
  const first = theirs[0].bias ?? []
  const sum = Array.from(first).reduce((total, v) => total + v, 0)
  const faulty = theirs.map(({ weights, bias }, i) => ({ weights, bias: i === 0 && bias ? bias.map(() => sum) : bias }))
  const { tensors } = await net.checkGradients(x, y, { theirs: faulty })
  const wrong = tensors.filter(({ ok }) => !ok)
  return [
    `The network's own gradients agree with differences of its loss in ${right.tensors.filter(({ ok }) => ok).length} of ${right.tensors.length} tensors.`,
    ...wrong.map(
      ({ tensor, layer, fault, relativeError, says }) =>
        `With the asker's db1 the ${tensor} of layer ${layer + 1} is ${formatMeasured(100 * relativeError)} % off (${fault})${says ? `: ${says}` : ''}`,
    ),
  ]
}

/** What the doctor finds at a start, on inputs, at a rate. */
async function diagnosed({ x, y }: CsvData, start: Start, inputs: Inputs, learningRate: number) {
  const net = new FNN(program(start, inputs))
  const diagnosis = await net.diagnose(x, y, { fit: { epochs: EPOCHS, learningRate }, budget: BUDGET })
  return { heading: `${start.name}, ${inputs.name}, rate ${learningRate}`, diagnosis }
}

/** What L2 and dropout add to the loss one reads: the last loss of the run, and the loss of the data alone. */
async function added({ x, y }: CsvData): Promise<string[]> {
  const plain = program(STARTS[1], INPUTS[0])
  const fit = { epochs: EPOCHS, learningRate: 0.1 }
  const [first, second, last] = plain.layers
  const variants = [
    { name: 'Without either', model: plain },
    { name: 'With l2 0.01', model: { ...plain, l2: 0.01 } },
    { name: 'With dropout 0.5', model: { ...plain, layers: [first, dropout(0.5), second, dropout(0.5), last] } },
  ]
  const told: string[] = []
  for (const { name, model } of variants) {
    const net = new FNN(model)
    const { loss, penalty } = await net.fit(x, y, fit)
    told.push(
      `${name}, the loss one reads ends at ${formatMeasured(loss[loss.length - 1])}, of which the penalty is ${formatMeasured(penalty[penalty.length - 1])}; ` +
        `the data's own loss is then ${formatMeasured(net.loss(x, y))}, and the loss one reads rose on ${plural(rises(loss, TOLERANCE).length, 'step')}.`,
    )
  }
  return told
}

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]

/** The same training on both backends, in turns. */
function race({ x, y }: CsvData): string {
  const info = backendInfo()
  const ran =
    info.name === 'native' ? `The native backend ran (${info.blas}, ${info.simd})` : 'The TypeScript backend ran'
  if (info.name !== 'native') return `${ran} (${info.reason}), and nothing was compared with it.`
  const turns = 5
  const epochs = 20
  const [rate, start, inputs] = [0.1, STARTS[1], INPUTS[0]]
  const runs = { native: [] as number[], typescript: [] as number[] }
  const loss: Record<keyof typeof runs, ArrayLike<number>> = { native: [], typescript: [] }
  for (let turn = 0; turn <= turns; turn++) {
    for (const backend of ['native', 'typescript'] as const) {
      const net = network(start, inputs, { backend })
      const began = performance.now()
      loss[backend] = net.fitSync(x, y, { epochs, learningRate: rate }).loss
      // The first turn warms both up and does not count.
      if (turn > 0) runs[backend].push(performance.now() - began)
    }
  }
  const [native, typescript] = [median(runs.native), median(runs.typescript)]
  const apart = Math.max(...Array.from(loss.native, (value, i) => Math.abs(value - loss.typescript[i])))
  return (
    `${ran}, ${formatMeasured(typescript / native)} times as fast as the TypeScript backend: ${formatMeasured(native / epochs)} ms an epoch ` +
    `against ${formatMeasured(typescript / epochs)} (medians of ${turns} runs of ${epochs} epochs each, in turns, on this machine; ` +
    `${start.name}, ${inputs.name}, rate ${rate}); the largest difference between their losses was ${apart.toExponential(1)}.`
  )
}

/** −Σ p ln p of the labels: the loss of a network that knows only how many are benign. */
function entropy(y: ArrayLike<number | string>): number {
  const share = Array.from(y, Number).reduce((sum, value) => sum + value, 0) / y.length
  return -share * Math.log(share) - (1 - share) * Math.log(1 - share)
}

/** How many of the runs of each rate and scale ended how. */
function outcomes(runs: readonly SweepRun[]): Table {
  const keys = new Map<string, SweepRun[]>()
  for (const run of runs) {
    const key = `${run.learningRate} ${run.initScale}`
    keys.set(key, [...(keys.get(key) ?? []), run])
  }
  return {
    columns: ['rate', 'initial scale', 'outcomes'],
    rows: [...keys.values()].map((of) => [
      of[0].learningRate,
      of[0].initScale,
      listed(of.map(({ outcome }) => outcome)),
    ]),
  }
}

// ---------------------------------------------------------------------------------------------------- the program

const width = Math.min(process.stdout.columns || 80, 120)
const colour = process.stdout.isTTY === true && process.env.NO_COLOR === undefined

function say(text: string, indent = ''): void {
  let line = indent
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > width && line.trim() !== '') {
      console.log(line)
      line = indent
    }
    line += line.trim() === '' ? word : ` ${word}`
  }
  console.log(line)
}

async function main(): Promise<void> {
  const data = await readCsv(join(__dirname, '..', 'data', 'breast-cancer.csv'), { target: 'benign' })
  const chance = entropy(data.y)
  const about =
    `30 → 128 tanh → 64 tanh → 1 sigmoid, binary cross-entropy, full-batch gradient descent, ${EPOCHS} steps, seed ${SEED}, ` +
    `on ${data.x.rows} tumours (UCI breast cancer, diagnostic). A rise is a step that raises the loss by more than ` +
    `${TOLERANCE.toExponential()} of it. The dotted line is the entropy of the labels, ${formatMeasured(chance)}: the loss of knowing ` +
    'only how many are benign.'
  say('Why does my loss rise?')
  say(about)

  const results: Result[] = []
  const sections: Section[] = []
  for (const start of STARTS) {
    for (const inputs of INPUTS) {
      const heading = `${start.name[0].toUpperCase()}${start.name.slice(1)}, ${inputs.name}`
      const row: Result[] = []
      for (const rate of RATES) row.push(await train(data, start, inputs, rate))
      const charts = alike(row.map((result) => chartOf(result, chance)))
      console.log('')
      say(`${heading} (${start.says})`)
      console.log(renderTerminal(charts, { width, height: 8, colour }))
      for (const result of row) {
        say(
          `rate ${result.rate}: ${fromTo(result)}, ${percent(result.accuracy)} right; ${reading(result, chance)}`,
          '  ',
        )
        if (result.rose.length > 0)
          say(`rose at ${result.rose.length === 1 ? 'step' : 'steps'} ${spans(result.rose)}`, '    ')
      }
      results.push(...row)
      sections.push({
        heading,
        text: [`Start: ${start.says}.`],
        charts,
        table: {
          columns: ['rate', 'loss at the start', 'at the end', 'right', 'reading', 'rose at steps'],
          rows: row.map((r) => [
            r.rate,
            r.loss[0],
            r.loss[r.loss.length - 1],
            percent(r.accuracy),
            reading(r, chance),
            spans(r.rose) || '–',
          ]),
        },
      })
    }
  }

  const error = Math.max(...STARTS.flatMap((start) => INPUTS.map((inputs) => gradientError(data, start, inputs))))
  const answers = answer(results, error)
  const speed = race(data)
  console.log('')
  for (const sentence of [...answers, speed]) say(sentence)

  console.log('')
  say('The doctor on the same network')
  const gradients = await gradientsTold(data)
  const regularised = await added(data)
  const rates = await sweep({
    model: program(STARTS[1], INPUTS[0]),
    fit: { epochs: EPOCHS },
    x: data.x,
    y: data.y,
    ...SWEEP,
  })
  const right = rates.runs.filter(({ predicted, outcome }) => predicted === outcome).length
  const swept = `Of ${rates.runs.length} runs of the scaled start over rates and initial scales, ${right} became what two fifths of them, run before on a copy, had foretold.`
  for (const sentence of gradients) say(sentence, '  ')
  for (const sentence of regularised) say(sentence, '  ')
  console.log(`\n${rates.plot()}\n`)
  say(swept)
  sections.push({ heading: 'Are the gradients wrong?', text: gradients })
  sections.push({ heading: 'What L2 and dropout add to the loss', text: regularised })
  sections.push({ heading: 'Rates and initial scales', text: [swept], table: outcomes(rates.runs) })

  const folder = join(__dirname, '..', 'build')
  mkdirSync(folder, { recursive: true })
  const cases = [
    await diagnosed(data, STARTS[0], INPUTS[0], 1),
    await diagnosed(data, STARTS[0], INPUTS[1], 0.1),
    await diagnosed(data, STARTS[1], INPUTS[0], 0.1),
  ]
  for (const [i, { heading, diagnosis }] of cases.entries()) {
    console.log('')
    say(`${heading}: ${diagnosis.brief()}`)
    const file = join(folder, `question-doctor-${i + 1}.html`)
    writeFileSync(file, diagnosis.html())
    console.log(pathToFileURL(resolve(file)).href)
    sections.push({
      heading: `The doctor: ${heading}`,
      text: diagnosis
        .full()
        .split('\n')
        .filter((line) => line !== ''),
    })
  }
  const text = [...answers, about, speed]
  const path = writePage({ title: 'Why does my loss rise?', text, sections }, join(folder, 'question.html'))
  say(`\nAll curves on one page: ${pathToFileURL(resolve(path)).href}`)
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
