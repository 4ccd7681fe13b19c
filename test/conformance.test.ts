/**
 * What the library promises of every model, on every task, on every backend: lib/conformance/, which users may run on
 * models with layers of their own. And that it can tell: models broken on purpose are found out.
 */
import {
  activation,
  batchNorm,
  checkModel,
  dense,
  dropout,
  embedding,
  FNN,
  type Inputs,
  type LayerSpec,
  layerNorm,
  type ModelChecks,
  type ModelOptions,
  prelu,
  residual,
} from 'downhill'
import t, { type Test } from 'tap'
import { onEachBackend } from './truth'

/** Every kind of layer. */
const LAYERS = [
  embedding({ columns: [0], sizes: [4], dimensions: 2 }),
  dense(6),
  batchNorm(),
  activation('tanh'),
  residual([dense(6, 'tanh')]),
  layerNorm(),
  dense(5),
  prelu(),
  dropout(0.2),
]

function allHold(t: Test, { ok, checks }: ModelChecks, fewest: number): void {
  for (const { name, task, ok, error } of checks) if (!ok) t.fail(`${task}: ${name}: ${error}`)
  t.ok(ok)
  t.ok(checks.length >= fewest, `${checks.length} checks`)
}

t.test('a plain model keeps every promise', (t) =>
  onEachBackend(t, async (t, { options }) => allHold(t, await checkModel({ model: options }), 200)),
)

t.test('so does one with every kind of layer', (t) =>
  onEachBackend(t, async (t, { options }) =>
    allHold(t, await checkModel({ model: { ...options, layers: LAYERS }, tasks: ['regression', 'multiclass'] }), 80),
  ),
)

t.test('a model that breaks one is found out', async (t) => {
  /** Predicts another thing each time. */
  class Restless extends FNN {
    #calls = 0
    override predict(x: Inputs): Float64Array {
      return (super.predict(x) as Float64Array).map((value) => value + ++this.#calls)
    }
  }
  /** Writes into what it is given. */
  class Careless extends FNN {
    override predict(x: Inputs): ReturnType<FNN['predict']> {
      const answer = super.predict(x)
      if (Array.isArray(x) && x[0] instanceof Float64Array) x[0].fill(0)
      return answer
    }
  }
  for (const [create, found] of [
    [(options: ModelOptions) => new Restless(options), 'looking-changes-nothing'],
    [(options: ModelOptions) => new Careless(options), 'inputs-not-written'],
  ] as const) {
    const { ok, checks } = await checkModel({ create, tasks: ['regression'], backend: 'typescript' })
    t.notOk(ok)
    t.match(
      checks.find(({ name }) => name === found),
      { ok: false, error: /Expected/ },
    )
    t.ok(
      checks.some((check) => check.ok),
      'and what it keeps holds',
    )
  }
})

t.test('numbers are near by the roundings of their type', async (t) => {
  /** Predicts a row alone a little otherwise than in a batch. */
  class Coarse extends FNN {
    override predict(x: Inputs): Float64Array {
      const answer = super.predict(x) as Float64Array
      return answer.length === 1 ? answer.map((value) => value * (1 + 1e-8)) : answer
    }
  }
  for (const [dtype, ok] of [
    ['float32', true],
    ['float64', false],
  ] as const) {
    const model = { dtype, backend: 'typescript' } as const
    const { checks } = await checkModel({ model, create: (options) => new Coarse(options), tasks: ['regression'] })
    t.equal(checks.find(({ name }) => name === 'one-row')?.ok, ok, dtype)
  }
})

t.test('checks of rows apart are left out where masks are drawn, and only there', async (t) => {
  const counted = async (layers: readonly LayerSpec[]): Promise<number> => {
    const { checks, ok } = await checkModel({ model: { layers }, tasks: ['regression'], backend: 'typescript' })
    t.ok(ok)
    return checks.length
  }
  const all = await counted([dense(5, 'tanh')])
  t.equal(await counted([dense(5, 'tanh'), dropout(0)]), all)
  t.equal(await counted([residual([dense(4, 'tanh'), dropout(0.2)])]), all - 4)
})

t.test('options are checked', async (t) => {
  await t.rejects(checkModel({ tasks: [] }), { code: 'ERR_OPTION' })
  await t.rejects(checkModel({ tasks: ['cluster'] as never }), { code: 'ERR_OPTION' })
  await t.rejects(checkModel({ task: ['binary'] } as never), { code: 'ERR_OPTION', message: /tasks/ })
})
