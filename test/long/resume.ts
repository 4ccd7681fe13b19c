/**
 * Goes on from every step of every training in test/continuation.ts, on every backend and in both ways, and compares
 * the end with that of the run that nobody stopped: weights, predictions and history, to the bit.
 *
 *     npm run test:resume
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { backendInfo } from 'downhill'
import { goOn, hashOf, TRAININGS, train, trainTo } from '../continuation'
import { BACKENDS } from '../truth'

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'downhill-resume-'))
  const path = join(folder, 'run.safetensors')
  let points = 0
  let failures = 0
  const here = BACKENDS.filter(({ options }) => options.backend !== 'native' || backendInfo().name === 'native')
  for (const { name: where, options: backend } of here)
    for (const [name, training] of Object.entries(TRAININGS)) {
      const whole = await train(training, backend)
      const hash = hashOf(whole)
      let missed = 0
      for (let step = 1; step <= whole.history.steps; step++)
        for (const isLoaded of [false, true]) {
          await trainTo(step, path, training, backend)
          points++
          if (hashOf(await goOn(path, training, backend, isLoaded)) !== hash) missed++
        }
      failures += missed
      console.log(`${where}: ${name}: ${whole.history.steps} steps, ${missed} of ${2 * whole.history.steps} differ`)
    }
  rmSync(folder, { recursive: true })
  console.log(`${points} points, ${failures} differ`)
  process.exitCode = failures === 0 ? 0 : 1
}

main()
