/**
 * What the compiler knows of a model: `tsc` is the judge, and this file fails to compile where a type is another than it
 * says. What runs holds the same values to it, so that no type promises what does not come.
 */
import { FNN, type Matrix, type ModelOptions } from 'downhill'
import t from 'tap'

/** true where both are the same type, not only assignable. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
type PredictionOf<Net extends { predict(x: number[][]): unknown }> = ReturnType<Net['predict']>
/** Whether a value of the first type may be given where the second is asked for. */
type Takes<Value, Asked> = [Value] extends [Asked] ? true : false

const holds = <_ extends true>(): void => {}
const refuses = <_ extends false>(): void => {}

const small = { hidden: [2], seed: 1, backend: 'typescript' } as const
const fit = { epochs: 2 } as const
const x = [
  [0, 1],
  [1, 0],
  [1, 1],
  [0, 0],
]

t.test('labels come back as the union that the constructor was given', async (t) => {
  const net = new FNN({ ...small, classes: ['cat', 'dog'] as const })
  holds<Same<PredictionOf<typeof net>, ('cat' | 'dog')[]>>()
  refuses<Takes<'horse', PredictionOf<typeof net>[number]>>()
  net.fitSync(x, ['cat', 'dog', 'dog', 'cat'], fit)
  const names: Record<'cat' | 'dog', string> = { cat: 'Katze', dog: 'Hund' }
  for (const label of net.predict(x)) t.ok(names[label])

  const numbered = new FNN({ ...small, classes: [3, 1, 2] as const })
  holds<Same<PredictionOf<typeof numbered>, (1 | 2 | 3)[]>>()
  numbered.fitSync(x, [1, 2, 3, 1], fit)
  for (const label of numbered.predict(x)) t.ok([1, 2, 3].includes(label))

  const words: string[] = ['no', 'yes']
  const open = new FNN({ ...small, classes: words })
  holds<Same<PredictionOf<typeof open>, string[]>>()
})

t.test('a task that is said decides what predict returns', async (t) => {
  const line = new FNN({ ...small, task: 'regression', outputs: 1 })
  holds<Same<PredictionOf<typeof line>, Float64Array>>()
  line.fitSync(x, [0, 1, 2, 3], fit)
  t.equal(line.predict(x).subarray(0, 2).length, 2)

  const some = new FNN({ ...small, task: 'regression' })
  holds<Same<PredictionOf<typeof some>, Float64Array | Matrix>>()
  refuses<Takes<PredictionOf<typeof some>, Float64Array>>()
  some.fitSync(x, x, fit)
  t.equal((some.predict(x) as Matrix).columns, 2)

  const tags = new FNN({ ...small, task: 'multilabel', classes: ['red', 'round'] as const })
  holds<Same<PredictionOf<typeof tags>, Matrix>>()
  tags.fitSync(x, x, fit)
  t.equal(tags.predict(x).rows, 4)

  const sides = new FNN({ ...small, task: 'binary', classes: [false, true] as const })
  holds<Same<PredictionOf<typeof sides>, boolean[]>>()
  sides.fitSync(x, [true, false, false, true], fit)
  t.equal(typeof sides.predict(x)[0], 'boolean')
})

t.test('what nobody said stays open, and options are checked', async (t) => {
  const net = new FNN({ ...small })
  refuses<Takes<PredictionOf<typeof net>, Matrix>>()
  holds<Same<PredictionOf<typeof net>, PredictionOf<FNN>>>()
  // A model that says more is a model, and goes wherever one is asked for.
  holds<Takes<FNN<'cat' | 'dog'>, FNN>>()
  holds<Takes<FNN<'cat', 'binary', 1>, FNN>>()
  // These must not compile.
  refuses<Takes<{ task: 'clustering' }, ModelOptions>>()
  refuses<Takes<{ activation: 'reLU' }, ModelOptions>>()
  refuses<Takes<{ hidden: number }, ModelOptions>>()
  refuses<Takes<{ classes: readonly ['horse'] }, ModelOptions<'cat' | 'dog'>>>()
  net.fitSync(x, ['a', 'b', 'b', 'a'], fit)
  t.ok(Array.isArray(net.predict(x)))
})
