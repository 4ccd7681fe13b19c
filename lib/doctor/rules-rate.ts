/**
 * Rules of the rate, the batch and the length of a run: what depends on all else, and is set last.
 */
import { defaultRate, leaky, redraw, withRate } from './changes'
import { EARLY_STEPS, type Exam, isRestless } from './exam'
import {
  deadLayer,
  type Evidence,
  everyRow,
  hasHardlyBegun,
  LENIENT,
  layerName,
  measuredIn,
  measuredOn,
  NEARLY_THERE,
  percent,
  type Rule,
  short,
} from './rule'
import type { Change } from './subject'

export const OF_RATE: readonly Rule[] = [
  {
    id: 'lr_above_one_step_limit',
    synopsis: 'first steps longer than the loss allows',
    until: LENIENT,
    source: 'doctor: next-step limit; three rises, or a quarter of the first loss, are neither rounding nor one bump',
    isOfRate: true,
    ofFirstSteps: true,
    suspect(exam) {
      const { base, settings, limits } = exam
      const { first } = base
      if (!isRestless(first)) return null
      return {
        evidence: {
          rises: first.rises,
          height: first.height,
          peak: first.peak,
          learningRate: settings.learningRate,
          ...(limits && { nextStep: limits.nextStep, ...limitsOn(exam) }),
        },
        says: `Within its first ${EARLY_STEPS} steps the full-batch loss rose ${first.rises} times by more than 5 %, up to ${short(first.peak)} times what it began with${limitIn(exam)}.`,
        cure: `Lower the rate from ${short(settings.learningRate)}.`,
        changes: lowered(exam, [1 / 3, 0.1, 0.03, 0.01]),
      }
    },
  },
  {
    id: 'lr_too_high',
    synopsis: 'a rate at which the run cannot reach what a lower one reaches',
    until: LENIENT,
    source: 'measured: the run at a lower rate; the limits at its start (Cohen et al. 2021, Kalra et al. 2026)',
    isOfRate: true,
    suspect(exam) {
      const { settings, limits } = exam
      return {
        evidence: {
          learningRate: settings.learningRate,
          ...(limits && {
            nextStep: limits.nextStep,
            stable: limits.stable,
            sharpness: limits.sharpness,
            ...limitsOn(exam),
          }),
        },
        says: `At a rate of ${short(settings.learningRate)} the run ends worse than at a lower one${limitIn(exam)}.`,
        cure: 'Lower the rate.',
        changes: lowered(exam, [0.1, 0.01, 1e-3]),
      }
    },
  },
  {
    id: 'dead_relu',
    synopsis: 'units that the run left at zero on every row',
    until: LENIENT,
    source: 'as above; what killed them, where the run shows it, is named before',
    suspect(exam) {
      const layer = deadLayer(exam.end)
      if (!layer || deadLayer(exam.start)) return null
      return {
        evidence: { layer: layer.layer + 1, dead: layer.dead, seen: 'end', ...measuredOn(exam, layer.rows) },
        says: `${percent(layer.dead)} of the ${layer.units} ${layer.activation} units of ${layerName(layer)} are zero on ${everyRow(exam, layer)} when the run ends.`,
        cure: 'Lower the rate, or use leakyRelu with heNormal weights.',
        changes: [withRate(exam, 0.1), withRate(exam, 0.01), leaky(exam), redraw(exam)],
      }
    },
  },
  {
    id: 'minibatch_noise',
    synopsis: 'steps taken on too few rows to point anywhere',
    until: LENIENT,
    source: 'McCandlish et al. 2018: below the noise scale a step is mostly noise',
    isOfRate: true,
    suspect(exam) {
      const { batchSize, epochs } = exam.settings
      const { noise } = exam
      if (batchSize === 'full' || batchSize * 8 > exam.data.rows) return null
      const isBelow = noise !== null && noise.scale > NOISY * batchSize
      if (!isBelow && batchSize > 8) return null
      return {
        evidence: {
          batchSize,
          ...(noise && { noiseScale: noise.scale, ...measuredOn(exam, noise.rows, 'noiseScaleOn') }),
        },
        says: `Each step is taken on ${batchSize} ${batchSize === 1 ? 'row' : 'rows'}${noise ? `, where the gradient's noise would be averaged out by some ${short(noise.scale)}${measuredIn(exam, noise.rows)}` : ''}.`,
        cure: 'Take larger batches.',
        // Larger batches are fewer steps: the last makes up for some of them.
        changes: [
          { fit: { batchSize: batchSize * 16 } },
          { fit: { batchSize: batchSize * 64 } },
          { fit: { batchSize: batchSize * 16, epochs: epochs * 4 } },
        ],
      }
    },
  },
  {
    id: 'lr_too_low',
    synopsis: 'a rate so low that the epochs asked for do not get there',
    until: LENIENT,
    source: 'measured: the run at a higher rate',
    isPatience: true,
    suspect: (exam) => ({
      evidence: { learningRate: exam.settings.learningRate, epochs: exam.settings.epochs },
      says: `At a rate of ${short(exam.settings.learningRate)}, ${exam.settings.epochs} epochs do not get to where a higher rate gets.`,
      cure: 'Raise the rate.',
      changes: raised(exam),
    }),
  },
  {
    id: 'too_few_epochs',
    synopsis: 'a run that ended while it was still falling',
    until: (exam) => (hasHardlyBegun(exam) ? NEARLY_THERE : LENIENT),
    source: 'measured: the same run, longer; below 100 steps nobody would call it trained',
    isPatience: true,
    suspect(exam) {
      const { loss } = exam.base
      if (exam.base.status === 'diverged') return null
      const { epochs } = exam.settings
      return {
        evidence: { epochs, first: loss[0], last: loss[loss.length - 1] },
        says: `The loss was still falling when ${epochs} epochs were over.`,
        cure: 'Train longer.',
        changes: [5, 20, ...(hasHardlyBegun(exam) ? [100] : [])]
          .filter((f) => f > 2 * exam.shortage)
          .map((factor) => ({ fit: { epochs: factor * epochs } })),
      }
    },
  },
]

/** A noise scale of so many batches: a batch's gradient is more noise than direction. */
const NOISY = 8

/** Half of what the next step or its neighbourhood allows, as a share of the rate; NaN where that is not known. */
function allowed({ limits, settings }: Exam): number {
  const share = limits ? Math.min(limits.nextStep, limits.stable) / 2 / settings.learningRate : Number.NaN
  return Number.isFinite(share) && share > 0 ? share : Number.NaN
}

/** So far beyond the last share of a rate that is tried, the optimizer's default is tried, too. */
const FAR = 1 / 3
const TENS = [10, 100, 1e3, 1e4, 1e5] as const

/** What the start allows, where that is less, and then shares of the rate. */
function lowered(exam: Exam, shares: readonly number[]): Change[] {
  const own = allowed(exam)
  const others = shares.filter((share) => !(Math.abs(Math.log(share / own)) < 0.3))
  // A rate beyond all measure is taken back to the one that is usual.
  const usual = defaultRate(exam) / exam.settings.learningRate
  const far = usual < FAR * Math.min(...shares) ? [usual] : []
  return [...(own > 1e-6 && own < 0.7 ? [own] : []), ...others, ...far].map((factor) => withRate(exam, factor))
}

/**
 * What the start allows, where that is more, and then up by tens; by more than a run would gain that makes the steps which
 * were left out here (progress goes with rate times steps).
 */
function raised(exam: Exam): Change[] {
  const own = allowed(exam)
  const factors = [...(own > 10 ? [own] : []), ...TENS]
  const higher = factors.filter((factor) => factor >= 5 * exam.shortage).map((factor) => withRate(exam, factor))
  const usual = defaultRate(exam)
  if (!(usual * FAR > exam.settings.learningRate * TENS[TENS.length - 1])) return higher
  const far = [1, 10, 100].map((factor): Change => ({ fit: { learningRate: factor * usual } }))
  return exam.settings.learningRate > 0 ? [...higher, ...far] : far
}

const limitsOn = (exam: Exam): Evidence => (exam.limits ? measuredOn(exam, exam.limits.rows, 'limitsOn') : {})

/** A clause that says how far the rate is above what the first step allows. */
function limitIn(exam: Exam): string {
  const {
    limits,
    settings: { learningRate },
  } = exam
  if (!limits || !(limits.nextStep > 0) || !(learningRate > limits.nextStep)) return ''
  const times = learningRate / limits.nextStep
  return `; it is ${short(times)} times the ${short(limits.nextStep)} from which on the very first step raises the loss${measuredIn(exam, limits.rows)}`
}
