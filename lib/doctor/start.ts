/**
 * The first step of a run, measured from what it left in the engine: activations in the workspace, the update in the
 * gradient's place, the optimizer's state. Nothing is computed again, and of large nets a part is looked at, so that a
 * fit does not notice.
 */
import type { Engine } from '../backends/backend'
import type { Network } from '../network'
import { optimizerRow } from '../optimizers'
import { parameterised, type Tensor } from '../plan/layout'
import type { Floats, Program, Range, Report } from '../plan/plan'
import { dividing, divisor } from '../step-form'
import type { Recorder } from '../train/history'
import type { Watch } from '../train/job'
import type { FitSettings } from '../train/options'
import type { LayerStart, Start } from '../train/start'
import { parametersBy } from '../weights'
import { activationOf, readActivity } from './activity'

/** Values of units that are read: 170 rows of 192 units. */
const MOST_VALUES = 1 << 15
/** Of a unit that fires on one row in ten, 64 rows miss it once in a thousand times. */
const LEAST_ROWS = 64
/** Entries of a tensor that are read, in blocks spread evenly over it. */
const MOST_ENTRIES = 1 << 13
const BLOCK = 1 << 10

/** Where the weights come from; looked at before the first step, for a callback may have set them. */
interface Origin {
  /** The seed that drew them; null where they were set or trained. */
  readonly drawnBy: number | null
  /** The parameters, where they were set and are to be had without a copy. */
  readonly given: Floats | null
}

/** A run that begins from an empty optimizer state. */
interface Beginning {
  readonly engine: Engine
  readonly network: Network
  /** Rows of the first batch. */
  readonly batch: number
  readonly settings: Pick<FitSettings, 'optimizer' | 'clipNorm'>
  readonly origin: Origin
  readonly recorder: Recorder
}

/** Records the start of a run. */
export function startWatch(beginning: Beginning): Watch {
  const { engine, network, origin, recorder } = beginning
  let seed: Start['seed'] = null
  let weights: Start['weights'] = null
  return {
    next: (from) => (from === 0 ? 0 : Number.POSITIVE_INFINITY),
    before() {
      const { drawnBy, given } = origin
      seed = drawnBy
      if (drawnBy === null)
        weights = parametersBy(
          ({ at, length }) => given?.subarray(at, at + length) ?? engine.read({ at, length }),
          network.layout,
        )
      return undefined
    },
    after(_, report, learningRate) {
      if (report.loss.length > 0)
        recorder.start = { seed, weights, ...measureStart({ ...beginning, report, learningRate }) }
      return undefined
    },
  }
}

interface FirstStep extends Beginning {
  readonly learningRate: number
  readonly report: Report
}

function measureStart(step: FirstStep): Pick<Start, 'rows' | 'layers'> {
  const { engine, network, batch, report } = step
  const { plan } = engine
  const parts = parameterised(network.layout)
  const units = parts.reduce((sum, { outputs }) => sum + outputs, 0)
  const rows = Math.min(batch, plan.capacity, Math.max(LEAST_ROWS, Math.floor(MOST_VALUES / units)))
  const activity = readActivity(engine, plan.programs.train as Program, network, rows)
  const isMade = report.steps > 0
  const { clipNorm } = step.settings
  const clipped = isMade && clipNorm !== null ? Math.min(1, clipNorm / report.gradientNorm[0]) : 1
  const layers = parts.map((part, layer): LayerStart => {
    const own = part.tensors.filter((tensor) => network.layout.trained.includes(tensor))
    const norms = own.map((tensor) => measureTensor(step, tensor, isMade))
    const { saturated = null, dead = null } = activity.find((other) => other.layer === layer) ?? {}
    const gradientNorm = Math.sqrt(norms.reduce((sum, { gradient }) => sum + gradient, 0)) / clipped
    const weights = norms.at(own.findIndex(({ spec }) => spec.name === 'weights'))
    const updateRatio = weights && isMade ? Math.sqrt(weights.update / weights.weight) : 0
    return { layer, activation: activationOf(part), saturated, dead, gradientNorm, updateRatio }
  })
  return { rows, layers }
}

/** Squared norms of gradient, update and weights. */
interface Squares {
  readonly gradient: number
  readonly update: number
  readonly weight: number
}

function measureTensor(
  { engine, settings: { optimizer }, learningRate }: FirstStep,
  tensor: Tensor,
  isMade: boolean,
): Squares {
  const { gradients, state, trainable } = engine.plan
  const form = optimizerRow(optimizer).form(optimizer.settings)
  // Of a step without a form the gradient is not told, but what it moved is: weightDecay is decoupled there.
  const untold = { preconditioner: null, coupledDecay: 0, decoupledDecay: optimizer.settings.weightDecay ?? 0 }
  const { preconditioner: P, coupledDecay, decoupledDecay } = form ?? untold
  const c = form === null ? Number.NaN : form.gradient(1)
  const divisorOf = P && divisor(P, 1)
  const size = tensor.spec.rows * tensor.spec.columns
  let [gradient, update, weight, seen] = [0, 0, 0, 0]
  for (const { at, length } of blocksOf(tensor.at, size)) {
    const read = (from: number): Floats => engine.read({ at: from + at, length })
    const u = read(gradients.at)
    const w = read(0)
    const v = P && isMade ? read(state.at + dividing(P) * trainable.length) : null
    for (let i = 0; i < length; i++) {
      // Δw = −η·(u + μ·w) with u = P⁻¹·c·(g + λ·w), no memory yet; after it stands w + Δw. A refused step left g.
      const before = isMade ? (w[i] + learningRate * u[i]) / (1 - learningRate * decoupledDecay) : w[i]
      const p = v && divisorOf ? divisorOf(v[i]) : 1
      const g = isMade ? (u[i] * p) / c - coupledDecay * before : u[i]
      gradient += g * g
      update += (w[i] - before) ** 2
      weight += before * before
    }
    seen += length
  }
  const scale = size / seen
  return { gradient: gradient * scale, update: update * scale, weight: weight * scale }
}

/** All of a tensor, or blocks of it spread evenly. */
function blocksOf(at: number, size: number): Range[] {
  if (size <= MOST_ENTRIES) return [{ at, length: size }]
  const count = MOST_ENTRIES / BLOCK
  return Array.from({ length: count }, (_, i) => ({
    at: at + Math.floor((i * (size - BLOCK)) / (count - 1)),
    length: BLOCK,
  }))
}
