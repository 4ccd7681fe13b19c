/**
 * Rules of where the run begins: its weights, and what they make of the data.
 */
import { leaky, redraw } from './changes'
import { deadLayer, everyRow, hidden, LENIENT, layerName, measuredOn, percent, type Rule, STRICT, short } from './rule'

export const OF_START: readonly Rule[] = [
  {
    id: 'bad_init_constant',
    synopsis: 'units that begin equal and stay equal',
    until: STRICT,
    source: 'equal weights have equal gradients: the units of such a layer never differ',
    isSeen: true,
    suspect(exam) {
      const at = exam.start.findIndex((p, i) => !p.isOutput && p.isConstant && exam.start[i + 1]?.isConstantIn)
      const end = exam.end[at]
      if (at < 0 || !end?.isConstant) return null
      const layer = exam.start[at]
      return {
        evidence: { layer: layer.layer + 1, units: layer.units },
        says: `The ${layer.units} units of ${layerName(layer)} begin with equal weights, in and out, and still had equal weights when the run ended: they are one unit.`,
        cure: 'Draw the weights: glorotUniform, or heNormal for relu.',
        changes: [redraw(exam)],
        isCertain: true,
      }
    },
  },
  {
    id: 'dead_relu',
    synopsis: 'units that begin at zero on every row, and so learn nothing',
    until: LENIENT,
    source: 'slope 0 passes no gradient; half of the units or more is past what He initialization leaves (about none)',
    isSeen: true,
    suspect(exam) {
      const layer = deadLayer(exam.start)
      if (!layer) return null
      return {
        evidence: { layer: layer.layer + 1, dead: layer.dead, seen: 'start', ...measuredOn(exam, layer.rows) },
        says: `${percent(layer.dead)} of the ${layer.units} ${layer.activation} units of ${layerName(layer)} are zero on ${everyRow(exam, layer)} at the start.`,
        cure: 'Draw the weights by heNormal and let the biases begin at 0.',
        changes: [redraw(exam), leaky(exam)],
      }
    },
  },
  {
    id: 'bad_init_all_positive',
    synopsis: 'a layer whose weights all have one sign',
    until: LENIENT,
    source: 'the mean of what it passes on grows with fan-in, not its root; 16 weights of one sign happen once in 2¹⁵',
    ofStart: true,
    isSeen: true,
    suspect(exam) {
      const layer = exam.start.find((p) => p.isOneSigned)
      if (!layer) return null
      return {
        evidence: {
          layer: layer.layer + 1,
          weights: layer.inputs * layer.units,
          saturated: layer.saturated,
          ...measuredOn(exam, layer.rows),
        },
        says: `All ${layer.inputs * layer.units} weights of ${layerName(layer)} have one sign at the start.`,
        cure: 'Draw weights around zero, scaled by fan-in: glorotUniform, or heNormal for relu.',
        changes: [redraw(exam)],
      }
    },
  },
  {
    id: 'bad_init_scale',
    synopsis: 'weights far from 1/√fan-in',
    until: LENIENT,
    source:
      'Glorot & Bengio 2010, He et al. 2015: std·√fan-in of 0.8 to 1.4 keeps signals; 0.25 and 3 are outside of every published one',
    ofStart: true,
    isSeen: true,
    suspect(exam) {
      const layer = exam.start.find((p) => p.gain > 3 || p.gain < (p.isOutput ? 1e-3 : 0.25))
      const silent = hidden(exam.start).find((p) => p.rms < SILENT * p.rmsIn)
      const seen = layer ?? silent
      if (!seen) return null
      const full = exam.start.reduce((most, p) => Math.max(most, p.saturated), 0)
      return {
        evidence: {
          layer: seen.layer + 1,
          gain: seen.gain,
          saturated: full,
          in: seen.rmsIn,
          out: seen.rms,
          ...measuredOn(exam, seen.rows),
        },
        says: layer
          ? `The weights of ${layerName(layer)} begin ${short(layer.gain)} times as large as 1/√fan-in, and ${percent(full)} of a layer is saturated at the start.`
          : `Of a signal of ${short(seen.rmsIn)} the units of ${layerName(seen)} pass on ${short(seen.rms)} at the start.`,
        cure: 'Draw weights scaled by fan-in: glorotUniform, or heNormal for relu.',
        changes: [redraw(exam)],
      }
    },
  },
  {
    id: 'exploding_forward',
    synopsis: 'activations that grow from layer to layer',
    until: STRICT,
    source: 'a hundredfold over the hidden layers is a factor that no published initialization gives',
    isSeen: true,
    suspect(exam) {
      const inner = hidden(exam.start)
      const last = inner[inner.length - 1]
      if (inner.length < 2 || !(last.rms > 100 * Math.max(exam.start[0].rmsIn, 1e-12))) return null
      return {
        evidence: { in: exam.start[0].rmsIn, out: last.rms, layers: inner.length, ...measuredOn(exam, last.rows) },
        says: `Activations grow from ${short(exam.start[0].rmsIn)} to ${short(last.rms)} through ${inner.length} hidden layers.`,
        cure: 'Draw weights scaled by fan-in: heNormal for relu, glorotUniform for tanh.',
        changes: [redraw(exam)],
      }
    },
  },
]

/** A layer that passes on so little of a signal is as good as silent: published starts pass on a half and more. */
const SILENT = 0.02
