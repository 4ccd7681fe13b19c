/**
 * The engine that is kept from one training to the next: taken only by who left it, one at a time, let go after a moment;
 * and a training on it is as on a new one.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type FitOptions, FNN, type History } from '../dist'
import type { Engine } from '../dist/backends/backend'
import { nativeStatus } from '../dist/backends/native'
import { drop, keep, take } from '../dist/backends/spare'

/** An engine that only says when it is closed. */
function closable(): { readonly engine: Engine; isClosed: boolean } {
  const made = { isClosed: false, engine: { close: () => (made.isClosed = true) } as unknown as Engine }
  return made
}

t.test('one engine is kept, for its owner and under its key', async (t) => {
  const [owner, other, first, second] = [{}, {}, closable(), closable()]
  keep(owner, 'a', first.engine)
  t.equal(take(other, 'a'), null, 'not for another')
  t.equal(take(owner, 'b'), null, 'not under another key')
  t.equal(take(owner, 'a'), first.engine)
  t.equal(take(owner, 'a'), null, 'once')
  t.notOk(first.isClosed)
  keep(owner, 'a', first.engine)
  keep(other, 'a', second.engine)
  t.ok(first.isClosed, 'the one before it is closed')
  drop(owner)
  t.notOk(second.isClosed)
  drop(other)
  t.ok(second.isClosed)
})

t.test('it is let go after a moment', async (t) => {
  const { engine } = closable()
  const made = { isClosed: false }
  keep({}, 'a', { ...engine, close: () => (made.isClosed = true) } as unknown as Engine)
  await sleep(10)
  t.notOk(made.isClosed)
  for (let i = 0; i < 100 && !made.isClosed; i++) await sleep(50)
  t.ok(made.isClosed)
})

const x = Array.from({ length: 40 }, (_, i) => [Math.sin(i), Math.cos(3 * i), i / 40])
const y = x.map(([a, b]) => (a * b > 0 ? 1 : 0))
const FIT: FitOptions = { epochs: 4, batchSize: 16, optimizer: 'adam', shuffle: false, clipNorm: 1 }

for (const backend of ['native', 'typescript'] as const)
  t.test(
    `a training on an engine that has trained is as on a new one: ${backend}`,
    { skip: backend === 'native' && nativeStatus().backend === null && nativeStatus().reason },
    async (t) => {
      const losses = async (before: () => void): Promise<readonly number[][]> => {
        const net = new FNN({ hidden: [9, 5], seed: 7, backend, l2: 0.01 })
        const calls: readonly (() => PromiseLike<History> | History)[] = [
          () => net.fit(x, y, FIT),
          () => net.fit(x, y, FIT),
          () => net.fit(x, y, { ...FIT, optimizer: 'rmsprop' }),
          () => net.fitSync(x, y, FIT),
          () => net.fitSync(x, y, FIT),
          () => net.partialFit(x, y, FIT),
          () => net.partialFit(x, y, FIT),
          () => net.partialFit(x.slice(7), y.slice(7), FIT),
          () => net.fit(x, y, FIT),
        ]
        const found: number[][] = []
        for (const call of calls) {
          before()
          found.push([...(await call()).loss])
        }
        return [...found, ...net.weights().map(({ weights }) => [...weights.data])]
      }
      const kept = await losses(() => {})
      t.strictSame(kept, await losses(drop))
      t.notSame(kept[0], kept[1], 'a fit goes on from the weights')
    },
  )
