/**
 * Rules of what was asked for besides: penalties, constants of the optimizer, layers without a bend or a bias.
 */
import type { ActivationName } from '../activations'
import { allLayers } from '../layers'
import { optimizerRow } from '../optimizers'
import { rateOf } from './activity'
import { editLayers, freshDense, freshOptimizer, together } from './changes'
import { hidden, layerName, type Rule, STRICT, short } from './rule'
import type { Change } from './subject'

export const OF_SETTINGS: readonly Rule[] = [
  {
    id: 'over_regularised',
    synopsis: 'penalty, decay or dropout that keeps the model from fitting',
    until: STRICT,
    source: 'measured: the run without it',
    suspect(exam) {
      const { blueprint, settings } = exam
      const layers = allLayers(blueprint.model.layers)
      const strongest = (name: 'l1' | 'l2'): number =>
        Math.max(
          blueprint.model[name] ?? 0,
          ...layers.map((layer) => (name in layer ? ((layer as { [N in typeof name]?: number })[name] ?? 0) : 0)),
        )
      const [l1, l2] = [strongest('l1'), strongest('l2')]
      const drop = Math.max(0, ...layers.map(rateOf))
      const decay = settings.optimizer.settings.weightDecay ?? 0
      if (Math.max(l1, l2) < 1e-4 && drop < 0.3 && decay < 1e-3) return null
      const bare = editLayers(
        exam,
        ({ l1: _, l2: __, ...layer }) => layer,
        () => 0,
      )
      const { optimizer } = settings
      return {
        evidence: { ...(l1 > 0 && { l1 }), l2, dropout: drop, weightDecay: decay },
        says: `The penalty is ${l1 > 0 ? `l1 ${short(l1)}, l2 ` : ''}${short(l2)}, weight decay ${short(decay)}, dropout up to ${short(drop)}.`,
        cure: 'Take the regularisation away until the model fits, then add as much as validation rewards.',
        changes: [
          together(
            { model: { ...bare.model, l2: 0, ...(l1 > 0 && { l1: 0 }) } },
            decay > 0
              ? { fit: { optimizer: { ...optimizer, settings: { ...optimizer.settings, weightDecay: 0 } } } }
              : {},
          ),
        ],
      }
    },
  },
  {
    id: 'optimizer_eps',
    synopsis: 'a constant of the optimizer that swallows the update',
    until: STRICT,
    source: 'Kingma & Ba 2015: ε far above the root of the mean square makes the step g/ε, not g/√v',
    isSeen: true,
    suspect(exam) {
      const { settings, kind } = exam.settings.optimizer
      const rows = optimizerRow(exam.settings.optimizer).settings
      const odd = Object.keys(settings).find((key) => {
        const value = settings[key]
        const usual = rows[key]?.default
        if (key === 'epsilon') return value > 1e-4
        if (key === 'weightDecay' || key === 'nesterov') return false
        if (key === 'momentum') return value > 0.95
        return (1 - value) / (1 - usual) > 5 || (1 - value) / (1 - usual) < 0.2
      })
      if (odd === undefined) return null
      return {
        evidence: { constant: odd, value: settings[odd], usual: rows[odd].default },
        says: `The ${odd} of ${kind} is ${short(settings[odd])}; usual is ${short(rows[odd].default)}.`,
        cure: `Leave ${odd} at its default.`,
        changes: [freshOptimizer(exam)],
      }
    },
  },
  {
    id: 'missing_activation',
    synopsis: 'hidden layers without a bend, which together are one linear map',
    until: STRICT,
    source: 'a product of matrices is a matrix',
    suspect(exam) {
      const layer = hidden(exam.start).find((p) => !p.isBent)
      if (!layer) return null
      const bent = (activation: ActivationName): Change =>
        editLayers(exam, (spec, isOutput) =>
          !isOutput && spec.activation === 'linear' ? freshDense(spec, activation) : spec,
        )
      return {
        evidence: { layer: layer.layer + 1, activation: layer.activation },
        says: `The hidden ${layerName(layer)} is linear.`,
        cure: "Give hidden layers an activation such as 'relu' or 'tanh'.",
        changes: [bent('tanh'), bent('relu')],
      }
    },
  },
  {
    id: 'missing_bias',
    synopsis: 'a layer without a bias where the data is not centred',
    until: STRICT,
    source: 'without it every unit is 0 at x = 0',
    suspect(exam) {
      const layer = exam.start.find((p) => !p.hasBias)
      if (!layer) return null
      return {
        evidence: { layer: layer.layer + 1 },
        says: `The units of ${layerName(layer)} have no bias.`,
        cure: 'Leave the bias on.',
        changes: [editLayers(exam, (spec) => ({ ...spec, bias: spec.bias ?? { kind: 'zeros' } }))],
      }
    },
  },
]
