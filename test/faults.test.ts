/**
 * Files survive: every system call of a save may fail or be the last, a process may be killed at any time, and a program
 * that is killed again and again learns what it would have learned. `npm run test:faults` is the long form.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { backendInfo } from 'downhill'
import t from 'tap'
import { hasStrace, isHarm, kills, PLAIN, restarts, SAVERS, sweep, UNSYNCED } from './faults'

const skip = !hasStrace && 'no strace here, or none that may trace'

t.test('each call of a save fails, or is the last: the old file stands there or the new one', { skip }, async (t) => {
  const folder = join(t.testdir(), 'files')
  mkdirSync(folder)
  for (const [name, saver] of Object.entries(SAVERS)) {
    const faults = sweep(saver, folder, ['signal=KILL', 'error=EIO'])
    t.ok(faults.length >= 14, `${name}: ${faults.length} faults`)
    t.strictSame(faults.filter(isHarm), [], name)
    t.ok(
      ['old', 'new'].every((left) => faults.some((fault) => fault.left === left)),
      'before and after',
    )
  }
  t.ok(sweep(PLAIN, folder, ['signal=KILL']).some(isHarm), 'a plain write is caught')
  const calls = sweep(UNSYNCED, folder, ['error=EIO']).map(({ name }) => name)
  t.notOk(
    calls.some((name) => name.startsWith('fsync')),
    'that nobody waits for the disk would be seen',
  )
})

t.test('killed at any time, a file is whole', async (t) => {
  const path = join(t.testdir(), 'file')
  for (const [name, saver] of Object.entries(SAVERS)) t.equal(await kills(saver, path, 6), 0, name)
  t.ok((await kills(PLAIN, path, 6)) > 0, 'a plain write is caught')
})

t.test('a program that is killed and begun again learns what it would have learned', async (t) => {
  for (const backend of backendInfo().name === 'native' ? ['native', 'typescript'] : ['typescript']) {
    const { kills, isSame } = await restarts(t.testdir(), backend)
    t.ok(isSame, `${backend}: killed ${kills} times`)
    t.ok(kills > 0)
  }
})
