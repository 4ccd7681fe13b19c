/**
 * What was asked of each workload before a line was written, and whether it came true: ratios to others, measured in the
 * same rounds, and shares of the machine's peak.
 *
 * A ratio can be out of reach for reasons of arithmetic: r times a peer that does p FLOP/s needs r·p, and a machine has
 * only so many. So each goal is told beside what it would take.
 */

import { type Limits, roofline } from './limits'
import { median } from './statistics'
import {
  known,
  REFERENCE,
  type Results,
  type Row,
  ratio,
  rounded,
  SPECIFICATION,
  speed,
  summarize,
  type TableOf,
  times,
} from './summary'
import { flops, WORKLOADS } from './workloads'

/** Libraries that run in JavaScript or WebAssembly; tfjs node and onnxruntime call C++. */
const JAVASCRIPT = ['jax-js wasm', 'tfjs wasm', 'tfjs cpu', 'brain.js', 'convnetjs', 'ml-fnn']
const PYTORCH = ['PyTorch', 'PyTorch, all']
const ONNX = ['onnxruntime', 'onnxruntime, all']

export interface Goal {
  readonly threads: 'one' | 'all'
  /** Of whom it is asked, where not of native. */
  readonly who?: string
  /** Whom it is a ratio to; the fastest of these. Labels without a number of threads; `, all` is with all of them. */
  readonly against?: { readonly name: string; readonly labels: readonly string[] }
  readonly ratio?: number
  /** Of the peak of fused multiply-adds on as many threads. */
  readonly share?: number
  /** At most so many of the workload's units of time. */
  readonly most?: number
}

const to = (threads: Goal['threads'], ratio: number, name: string, labels: readonly string[]): Goal => ({
  threads,
  ratio,
  against: { name, labels },
})
const torch = (ratio: number): Goal => to('one', ratio, 'PyTorch', ['PyTorch'])
const torchBest = (ratio: number): Goal => to('all', ratio, 'PyTorch’s best', PYTORCH)
const javascript = (ratio: number): Goal => to('one', ratio, 'the best JavaScript peer', JAVASCRIPT)
/** What plain TypeScript owes to those who call no C++ either. */
const typescript = (who: string): readonly Goal[] => [
  { ...to('one', 4, 'tfjs cpu', ['tfjs cpu']), who },
  { ...to('one', 5, 'brain.js', ['brain.js']), who },
]
const share = (of: number): Goal => ({ threads: 'one', share: of })

export const GOALS: Readonly<Record<string, readonly Goal[]>> = {
  seed: [torch(5.5), share(0.6), torchBest(8.5), javascript(10)],
  'digits-32': [
    ...[torch(8), share(0.6), torchBest(12), javascript(10)],
    ...[SPECIFICATION, 'TypeScript float64'].flatMap(typescript),
  ],
  'digits-128': [torch(3.5), share(0.65), torchBest(5), javascript(10)],
  'digits-1024': [torch(1.4), share(0.65), torchBest(1.9), javascript(7)],
  wide: [torch(1.05), torchBest(1.5), javascript(8)],
  'predict-1': [{ threads: 'one', most: 6 }, torch(5), javascript(10)],
  'predict-4096': [
    to('one', 1.2, 'onnxruntime', ['onnxruntime']),
    share(0.6),
    to('all', 1.2, 'onnxruntime’s best', ONNX),
    javascript(10),
  ],
  xor: [to('one', 20, 'tfjs cpu', ['tfjs cpu']), to('one', 1, 'our TypeScript', ['TypeScript'])],
}

type Measured = Results['workloads'][number]

/** The fastest of the contenders with these labels, if any ran. */
function fastest(rows: readonly Row[], labels: readonly string[], threads: number): Row | undefined {
  const wanted = labels.map((label) => label.replace(', all', `, ${threads} threads`))
  const seconds = (row: Row): number => median(known(row.blocks))
  return rows
    .filter(({ label, unable }) => wanted.includes(label) && !unable)
    .sort((a, b) => seconds(a) - seconds(b))[0]
}

/** `native is 18 × the best JavaScript peer, jax-js wasm.`; '' where there is none. */
export function besideJavascript({ measured }: Measured): string {
  const rows = measured.map(summarize)
  const best = fastest(rows, JAVASCRIPT, 1)
  const native = rows.find(({ label }) => label === REFERENCE)
  if (!best || !native || native.unable) return ''
  return `The best JavaScript peer is ${best.label}; native on one thread is ${times(ratio(native, best))}.`
}

/** Every goal whose contenders ran: what was asked, what was measured, what it would take. */
export function goalsTable(results: Results): TableOf {
  const { threads, limits } = results
  const rows = results.workloads.flatMap((workload) => {
    const contenders = workload.measured.map(summarize)
    return (GOALS[workload.name] ?? []).flatMap((goal) => {
      const row = goalRow(goal, workload.name, contenders, threads, limits)
      return row ? [[workload.name, ...row]] : []
    })
  })
  return { head: ['', 'threads', 'asked', 'measured', 'that takes, GFLOP/s', 'of the peak', ''], rows }
}

function goalRow(
  { threads, who = REFERENCE, against, ratio: asked, share, most }: Goal,
  name: string,
  rows: readonly Row[],
  all: number,
  limits: Limits | null,
): string[] | null {
  const count = threads === 'all' ? all : 1
  const ours = fastest(rows, threads === 'all' ? [`${who}, all`] : [who], all)
  const theirs = against && fastest(rows, against.labels, all)
  if (!ours || (against && !theirs)) return null
  const work = flops({ workload: name, ...WORKLOADS[name].task })
  const rate = (row: Row): number => work / median(known(row.blocks))
  const peak = limits?.ceilings.find((ceiling) => ceiling.threads === count)?.flops || Number.NaN
  const took = speed(name, median(known(ours.blocks)))
  const found = theirs ? ratio(ours, theirs) : most ? took : rate(ours) / peak
  if (Number.isNaN(found)) return null
  const needs = theirs && asked ? asked * rate(theirs) : share ? share * peak : (rate(ours) * took) / (most ?? took)
  const isReached = most ? found <= most : found >= (asked ?? share ?? 0)
  const verdict = isReached ? 'reached' : needs > peak ? 'more than the machine has' : 'not reached'
  const percent = (value: number): string => `${(100 * value).toFixed(0)} %`
  const unit = WORKLOADS[name].unit.name
  const of = who === REFERENCE ? '' : `${who}: `
  return [
    String(count),
    theirs ? `${of}${asked} × ${against?.name}` : most ? `at most ${most} ${unit}` : `${percent(share ?? 0)} of peak`,
    theirs ? `${times(found)} ${theirs.label}` : most ? `${rounded(found)} ${unit}` : percent(found),
    rounded(needs / 1e9),
    Number.isNaN(peak) ? '—' : percent(needs / peak),
    verdict,
  ]
}

/** What arithmetic and memory allow on one thread, and what came of it. */
export function rooflineTable({ workloads, limits }: Results): TableOf | null {
  if (!limits) return null
  const head = [
    '',
    'MFLOP a step',
    'MB a step',
    'FLOP a byte',
    'working set, MB',
    'from',
    'bound, GFLOP/s',
    'native',
    'of the bound',
  ]
  const rows = workloads.flatMap(({ name, measured }) => {
    const task = { workload: name, ...WORKLOADS[name].task }
    const native = measured.map(summarize).find(({ label }) => label === REFERENCE)
    if (!native || native.unable) return []
    const { flop, bytes, workingSet, level, bound } = roofline(task, limits)
    const reached = flops(task) / median(known(native.blocks))
    const [one, two, three, four] = [flop / 1e6, bytes / 1e6, flop / bytes, workingSet / 1e6].map(rounded)
    return [
      [
        name,
        one,
        two,
        three,
        four,
        level,
        rounded(bound / 1e9),
        rounded(reached / 1e9),
        `${((100 * reached) / bound).toFixed(0)} %`,
      ],
    ]
  })
  return { head, rows }
}

/** The ceilings as a sentence. */
export function ceilingsLine({ limits, handovers = [] }: Results): string {
  if (!limits) return 'The machine’s peak was not measured: there is no compiler.'
  const giga = (value: number): string => (value > 0 ? rounded(value / 1e9) : 'unknown')
  const of = limits.ceilings.map(
    ({ threads, flops, L2, L3, memory }) =>
      `on ${threads} thread${threads > 1 ? 's' : ''} ${giga(flops)} GFLOP/s of fused multiply-adds, and reading from L2 ${giga(L2)}, from L3 ${giga(L3)}, from memory ${giga(memory)} GB/s`,
  )
  const [least, most] = [Math.min(...handovers), Math.max(...handovers)].map(rounded)
  const handover =
    handovers.length > 0
      ? ` Between the trials, a line of cache went to another core and back in ${least === most ? least : `${least} to ${most}`} ns: what a second thread costs.`
      : ''
  return `Measured just before: ${of.join('; ')}.${handover}`
}
