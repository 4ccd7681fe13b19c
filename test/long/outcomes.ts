/**
 * What becomes of a run, foretold from two fifths of it and then run, on 200 programs from a number on. The goal is 90 %.
 *
 *     npm run doctor:outcomes [-- 200]
 */
import { foreseen } from '../outcomes'

const COUNT = 200

async function main(): Promise<void> {
  const first = Number(process.argv[2] ?? 0)
  if (!Number.isSafeInteger(first)) throw new Error(`Expected the number of a program but received ${process.argv[2]}.`)
  const pairs = new Map<string, number>()
  let right = 0
  for (let number = first; number < first + COUNT; number++) {
    const { predicted, outcome } = await foreseen(number)
    right += Number(predicted === outcome)
    const pair = predicted === outcome ? outcome : `${predicted}, but ${outcome}`
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1)
  }
  for (const [pair, count] of [...pairs].sort(([, a], [, b]) => b - a)) console.log(String(count).padStart(4), pair)
  console.log(`${right} of ${COUNT} outcomes were foretold, ${((100 * right) / COUNT).toFixed(1)} %`)
}

main()
