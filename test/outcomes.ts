/**
 * Programs of many kinds at rates from harmless to hopeless, drawn by a number: what forecasts of outcomes are held
 * against, a few in `npm test`, 200 in test/long/outcomes.ts.
 */
import { adam, type SweepRun, sgd, sweep } from 'downhill'
import { random } from '../dist/random'
import { makeData, type Preprocess } from './doctor/data'

const CLASSES = ['asker', 'ball', 'blobs', 'cancer'] as const
const AMOUNTS = ['chebyshev', 'friedman', 'plane', 'sine', 'se432707'] as const
const KINDS: readonly string[] = [...CLASSES, ...AMOUNTS]

/** Foretells and runs the program of a number: data, sizes, activation, optimizer, rate and initial scale are drawn. */
export async function foreseen(number: number): Promise<SweepRun> {
  const from = random(number, 'sample')
  const pick = <T>(list: readonly T[]): T => list[from.below(list.length)]
  const uniform = (): number => from.below(1e6) / 1e6
  const kind = pick(KINDS)
  const data = { kind, k: pick([2, 3]), degree: pick([3, 4, 5]) }
  const isAmount = (AMOUNTS as readonly string[]).includes(kind)
  const scaled: Preprocess = { x: 'standardise', ...(isAmount && { y: 'standardise' as const }) }
  const { x, y, task } = await makeData(data, uniform() < 0.8 ? scaled : {}, number)
  const hidden = Array.from({ length: 1 + from.below(3) }, () => pick([8, 16, 32, 64, 128]))
  const activation = pick(['tanh', 'relu', 'gelu', 'sigmoid', 'silu'] as const)
  const optimizer = pick([sgd(), sgd(), sgd({ momentum: 0.9 }), sgd({ momentum: 0.9, nesterov: true }), adam()])
  const rate = optimizer.kind === 'adam' ? 10 ** (3 * uniform() - 4) : 10 ** (4 * uniform() - 3)
  const epochs = pick([100, 200, 400])
  const initScale = pick([0.1, 0.3, 1, 1, 3, 10])
  const model = { hidden, activation, task, seed: number }
  const { runs } = await sweep({
    model,
    fit: { epochs, optimizer },
    x,
    y,
    learningRate: [rate],
    initScale: [initScale],
  })
  return runs[0]
}
