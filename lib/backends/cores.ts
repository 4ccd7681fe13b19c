/**
 * How many cores there are to use: those the process may run on, and no more than a container's quota.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

let known: number | null = null

/** At least 1. Hyperthreads count once where Linux says which they are. */
export function physicalCores(): number {
  known ??= Math.max(1, Math.min(availableParallelism(), quota(), siblings()))
  return known
}

/** Cores of the control group's quota (v2, then v1), rounded down; Infinity where there is none. */
function quota(): number {
  const v2 = readWords('/sys/fs/cgroup/cpu.max')
  if (v2 && v2[0] !== 'max') return Math.max(1, Math.floor(Number(v2[0]) / Number(v2[1])))
  const v1 = readWords('/sys/fs/cgroup/cpu/cpu.cfs_quota_us')
  const period = readWords('/sys/fs/cgroup/cpu/cpu.cfs_period_us')
  if (v1 && period && Number(v1[0]) > 0) return Math.max(1, Math.floor(Number(v1[0]) / Number(period[0])))
  return Number.POSITIVE_INFINITY
}

/** Physical cores by /proc/cpuinfo: distinct pairs of socket and core; Infinity where it does not say. */
function siblings(): number {
  const cores = new Set<string>()
  let socket = ''
  for (const line of (readText('/proc/cpuinfo') ?? '').split('\n')) {
    const [key, value] = line.split(':').map((part) => part.trim())
    if (key === 'physical id') socket = value
    if (key === 'core id') cores.add(`${socket}/${value}`)
  }
  return cores.size > 0 ? cores.size : Number.POSITIVE_INFINITY
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function readWords(path: string): string[] | null {
  return readText(path)?.trim().split(/\s+/) ?? null
}
