/**
 * How many cores there are to use: those the process may run on, and no more than a container's quota.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

let known: number | null = null

/** At least 1. Hyperthreads count once where Linux says which they are. */
export function physicalCores(): number {
  known ??= Math.max(1, Math.min(availableParallelism(), quotaHere(), siblings(readText('/proc/cpuinfo') ?? '')))
  return known
}

function quotaHere(): number {
  const v2 = readText('/sys/fs/cgroup/cpu.max')
  if (v2 !== null) return quota(v2)
  const [most, period] = ['quota', 'period'].map((name) => readText(`/sys/fs/cgroup/cpu/cpu.cfs_${name}_us`))
  return quota(`${most ?? 'max'} ${period ?? ''}`)
}

/**
 * Cores of a control group's quota, `<microseconds> <period>` as v2 writes it, rounded down but at least 1; Infinity
 * where there is none: `max`, −1 as v1 has it, or what is no number.
 */
export function quota(text: string): number {
  const [most, period] = text.trim().split(/\s+/).map(Number)
  return most > 0 && period > 0 ? Math.max(1, Math.floor(most / period)) : Number.POSITIVE_INFINITY
}

/** Physical cores by the text of /proc/cpuinfo: distinct pairs of socket and core; Infinity where it does not say. */
export function siblings(cpuinfo: string): number {
  const cores = new Set<string>()
  let socket = ''
  for (const line of cpuinfo.split('\n')) {
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
