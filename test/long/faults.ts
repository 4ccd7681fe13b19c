/**
 * Faults on purpose, the long form of test/faults.test.ts: every system call of a save, every kind of fault, with the twin
 * that must be caught; then kills without number.
 *
 *     npm run test:faults                  200 kills of each writer
 *     npm run test:faults -- 10000         as many as you have time for (about 5 a second)
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { backendInfo } from 'downhill'
import { hasStrace, isHarm, kills, PLAIN, restarts, SAVERS, sweep } from '../faults'

async function main(): Promise<void> {
  const rounds = Number(process.argv[2] ?? 200)
  const top = mkdtempSync(join(tmpdir(), 'downhill-faults-'))
  const folder = join(top, 'files')
  mkdirSync(folder)
  let failures = 0
  const expect = (isRight: boolean, text: string): void => {
    if (!isRight) failures++
    console.log(`${isRight ? 'ok    ' : 'FAILED'} ${text}`)
  }
  if (!hasStrace) console.log('no strace here, or none that may trace: no call was made to fail')
  for (const [name, saver] of Object.entries({ ...SAVERS, 'plain write': PLAIN })) {
    const isTwin = saver === PLAIN
    if (hasStrace) {
      const faults = sweep(saver, folder)
      const harm = faults.filter(isHarm)
      for (const fault of isTwin ? [] : harm) console.log(fault)
      expect(isTwin === harm.length > 0, `${name}: ${harm.length} of ${faults.length} faults did harm`)
    }
    const count = isTwin ? Math.min(rounds, 50) : rounds
    const broken = await kills(saver, join(folder, 'file'), count)
    expect(isTwin === broken > 0, `${name}: ${broken} of ${count} kills did harm`)
  }
  for (const backend of backendInfo().name === 'native' ? ['native', 'typescript'] : ['typescript']) {
    let [total, same] = [0, 0]
    for (let life = 0; life < 10; life++) {
      const run = mkdtempSync(join(top, 'run-'))
      const { kills, isSame } = await restarts(run, backend)
      total += kills
      if (isSame) same++
    }
    expect(same === 10, `${backend}: ${same} of 10 trainings, killed ${total} times, learned what they would have`)
  }
  rmSync(top, { recursive: true })
  process.exitCode = failures === 0 ? 0 : 1
}

main()
