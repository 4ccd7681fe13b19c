/**
 * Who runs: one table, a row a library. What each does is in the module its row names; here is only how it is started.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { Task } from './workloads'

export interface ContenderRow {
  readonly name: string
  /** `.ts` runs under this Node, `.py` under Python. */
  readonly module: string
  readonly variant: string
  readonly threads: 'one' | 'all'
  /** Only with --peers. */
  readonly isPeer: boolean
  /** A reason why it sits a workload out, or null; asked before a process is started. */
  readonly sitsOut?: (task: Task) => string | null
}

const predictsOnly = (task: Task): string | null => (task.kind === 'train' ? 'predicts only' : null)
/** Whoever goes row by row takes as long for any batch: one of the digits tells it, and a wide net takes minutes. */
const rowByRow = ({ kind, workload }: Task): string | null =>
  kind === 'train' && ['digits-128', 'digits-1024', 'wide'].includes(workload)
    ? 'goes row by row, whatever the batch: see digits-32'
    : null
const [ONE, ALL] = ['one', 'all'] as const

/** Name, module, variant, threads, and when it sits out. Ours first, then peers by family. */
const ROWS: readonly [string, string, string, readonly ('one' | 'all')[], ContenderRow['sitsOut']?][] = [
  ['native', 'downhill.ts', 'native', [ONE, ALL]],
  ['TypeScript', 'downhill.ts', 'typescript', [ONE]],
  ['TypeScript float64', 'downhill.ts', 'float64', [ONE]],
  ['PyTorch', 'peers/pytorch.py', 'eager', [ONE, ALL]],
  ['PyTorch jit', 'peers/pytorch.py', 'jit', [ONE], predictsOnly],
  ['numpy', 'peers/with_numpy.py', 'float32', [ONE, ALL]],
  ['scikit-learn', 'peers/scikit_learn.py', 'float32', [ONE, ALL]],
  ['onnxruntime', 'peers/onnxruntime.ts', 'cpu', [ONE, ALL], predictsOnly],
  ['jax-js wasm', 'peers/jax-js.ts', 'wasm', [ONE]],
  ['tfjs wasm', 'peers/tfjs.ts', 'wasm', [ONE]],
  ['tfjs cpu', 'peers/tfjs.ts', 'cpu', [ONE]],
  ['tfjs node', 'peers/tfjs.ts', 'node', [ALL]],
  ['brain.js', 'peers/brain.ts', 'cpu', [ONE], rowByRow],
  ['convnetjs', 'peers/convnet.ts', 'cpu', [ONE], rowByRow],
  ['ml-fnn', 'peers/ml-fnn.ts', 'cpu', [ONE]],
]

export const CONTENDERS: readonly ContenderRow[] = ROWS.flatMap(([name, module, variant, counts, sitsOut]) =>
  counts.map((threads) => ({ name, module, variant, threads, isPeer: module.startsWith('peers/'), sitsOut })),
)

/** What the tables call a row: ours and peers' one-thread rows by name alone. */
export function label({ name, threads }: ContenderRow, all: number): string {
  return threads === 'all' ? `${name}, ${all} threads` : name
}

/** Variables that force OpenBLAS to a kernel. Taken out of every trial's environment: all libraries choose as on a user's machine. */
export const FORCED = ['OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE', 'OPENBLAS_VERBOSE'] as const

export function environment(threads: number): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env }
  for (const name of FORCED) delete env[name]
  // Read by OpenMP and OpenBLAS in the Python peers; ours takes its number of threads as an option.
  for (const name of ['OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS']) env[name] = String(threads)
  return env
}

/** The command line of a trial; a reason where there is no interpreter for it. */
export function command(
  row: ContenderRow,
  folder: string,
  seconds: number,
  threads: number,
): string[] | { unable: string } {
  const rest = [row.variant, folder, String(seconds), String(threads)]
  if (!row.module.endsWith('.py')) {
    return [process.execPath, '--import', 'tsx', join(__dirname, 'trial.ts'), join(__dirname, row.module), ...rest]
  }
  const interpreter = python()
  return interpreter === null
    ? { unable: 'no python3 with numpy' }
    : [interpreter, join(__dirname, row.module), ...rest]
}

let found: string | null | undefined
/** $PYTHON, or the python3 that has most of the peers' packages: a version manager's often hides the system's. */
function python(): string | null {
  if (found !== undefined) return found
  const packages = ['numpy', 'torch', 'sklearn']
  const count = `import importlib.util as u; print(sum(u.find_spec(p) is not None for p in ${JSON.stringify(packages)}))`
  const candidates = process.env.PYTHON ? [process.env.PYTHON] : ['python3', '/usr/bin/python3']
  found = null
  let most = 0
  for (const candidate of candidates) {
    try {
      const has = Number(
        execFileSync(candidate, ['-c', count], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
      )
      if (has > most) {
        most = has
        found = candidate
      }
    } catch {
      // There is no such program: the next one.
    }
  }
  return found
}
