/** The machine card: what every figure must stand beside. */
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os'
import { FORCED } from './contenders'

export interface Card {
  readonly date: string
  readonly cpu: string
  readonly cores: number
  /** e.g. `L1d 48 KiB, L2 1 MiB, L3 32 MiB`; empty where the system does not say. */
  readonly caches: string
  readonly memory: string
  readonly system: string
  readonly node: string
  /** Variables that were set in the shell and taken out for the trials. */
  readonly unset: readonly string[]
  /** Mean number of running processes over the minute before; much above 0 means that others were at work too. */
  readonly load: number
}

export function machineCard(): Card {
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: cpuName(),
    cores: availableParallelism(),
    caches: caches(),
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${platform()} ${release()}`,
    node: process.version,
    unset: FORCED.filter((variable) => process.env[variable] !== undefined),
    load: loadavg()[0],
  }
}

/** The kernel's name of the processor, with family and model where the name alone does not tell generations apart. */
function cpuName(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown'
  try {
    const info = readFileSync('/proc/cpuinfo', 'utf8')
    const field = (name: string): string | undefined => info.match(new RegExp(`^${name}\\s*: (.*)$`, 'm'))?.[1]
    const widest = ['avx512f', 'avx2', 'asimd'].find((flag) => new RegExp(`\\b${flag}\\b`).test(info))
    const ids = field('cpu family') ? ` family ${field('cpu family')} model ${field('model')}` : ''
    return `${model}${ids}${widest ? `, ${widest}` : ''}`
  } catch {
    return model
  }
}

function caches(): string {
  const found: string[] = []
  for (let i = 0; i < 8; i++) {
    const at = `/sys/devices/system/cpu/cpu0/cache/index${i}/`
    try {
      const [level, type, size] = ['level', 'type', 'size'].map((name) => readFileSync(at + name, 'utf8').trim())
      if (type !== 'Instruction') found.push(`L${level}${type === 'Data' ? 'd' : ''} ${size.replace('K', ' KiB')}`)
    } catch {
      break
    }
  }
  return found.join(', ')
}

export function cardMarkdown(card: Card): string {
  const { date, cpu, cores, caches, memory, system, node, unset, load } = card
  const parts = [
    `${date}`,
    `${cores} × ${cpu}${caches ? ` (${caches})` : ''}, ${memory}`,
    `${system}, Node ${node}`,
    ...(unset.length ? [`${unset.join(', ')} taken out of the environment`] : []),
    `load average at the start ${load.toFixed(1)}`,
  ]
  return `${parts.join(' · ')}.`
}
