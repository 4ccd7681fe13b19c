/**
 * A trial: one contender on one workload in a process of its own, for a budget of seconds. peers/contract.py is its twin.
 *
 *     trial.ts <module> <variant> <task folder> <seconds> <threads>
 *
 * The first block warms up (caches, pages, just-in-time compilers) and is not counted, unless it alone took the budget.
 * Of the others three are counted at least.
 * The last line of standard output is the result as JSON; libraries may print what they like before it.
 */
import { performance } from 'node:perf_hooks'
import { argmax, type Contender, type LoadedTask, load, type Open, Unable } from './contract'

/** What a trial found. */
export interface Finding {
  readonly version: string
  readonly setting?: string
  readonly differs?: string
  /** Seconds of each block counted. */
  readonly seconds: readonly number[]
  /** Numbers to lay beside those of others: mean losses of passes, or probabilities. */
  readonly evidence: readonly number[]
}
export type Outcome = Finding | { readonly unable: string }

const LEAST_BLOCKS = 3
/** At most so many entries of the evidence, evenly spaced, the last one among them. */
const EVIDENCE = 160
/** Rows whose probabilities are the evidence of a prediction. */
const EVIDENCE_ROWS = 16

async function run(contender: Contender, task: LoadedTask, budget: number): Promise<Finding> {
  const seconds: number[] = []
  let result: ArrayLike<number> = []
  const block = async (): Promise<number> => {
    await contender.reset()
    const start = performance.now()
    result = await contender.block()
    return (performance.now() - start) / 1000
  }
  const first = await block()
  if (first >= budget) seconds.push(first)
  else
    for (let spent = first; spent < budget || seconds.length < LEAST_BLOCKS; spent += seconds[seconds.length - 1])
      seconds.push(await block())
  const { version, setting, differs } = contender
  return { version, setting, differs, seconds, evidence: await evidence(contender, task, result) }
}

async function evidence(contender: Contender, task: LoadedTask, result: ArrayLike<number>): Promise<number[]> {
  if (task.kind === 'train') {
    // Who computes another loss, or tells none, has nothing to lay beside others'.
    if (contender.differs !== undefined) return []
    if (result.length !== task.passes) throw new Error(`${result.length} losses for ${task.passes} passes`)
    const step = Math.ceil(result.length / EVIDENCE)
    return Array.from(result).filter((_, i) => (result.length - 1 - i) % step === 0)
  }
  const rows = Math.min(EVIDENCE_ROWS, task.rows)
  const probabilities = Array.from((await contender.probabilities?.(rows)) ?? [])
  const classes = argmax(probabilities, task.layers[task.layers.length - 1])
  if (result.length !== task.rows || classes.some((label, i) => label !== result[i]))
    throw new Error('the classes returned are not those of the probabilities')
  return probabilities
}

async function main([module, variant, folder, seconds, threads]: string[]): Promise<Outcome> {
  try {
    const { open } = (await import(module)) as { open: Readonly<Record<string, Open>> }
    const task = load(folder)
    return await run(await open[variant](task, Number(threads)), task, Number(seconds))
  } catch (error) {
    if (error instanceof Unable) return { unable: error.message }
    throw error
  }
}

if (require.main === module) {
  main(process.argv.slice(2)).then((outcome) => {
    // Some libraries keep the process alive with workers of their own.
    process.stdout.write(`\n${JSON.stringify(outcome)}\n`, () => process.exit(0))
  })
}
