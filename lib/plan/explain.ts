/**
 * `net.explain()`: the plan for a reader, like SQL's EXPLAIN.
 */
import { type Instruction, OPS, opKey, type Plan, type ProgramName, type Range } from './plan'

/** One line an instruction: its number, operation, operands, and what it means. */
export function explainProgram(plan: Plan, name: ProgramName): string {
  const program = plan.programs[name]
  if (program === undefined) return `(the plan has no program ${name})`
  const lines = [
    `program ${name}: ${plan.dtype}, chunks of up to ${plan.capacity} rows, arena of ${plan.length} floats`,
    ...(['parameters', 'gradients', 'state', 'tangent', 'curvature'] as const).map(
      (range) => `  ${range.padEnd(11)}${describeRange(plan[range])}`,
    ),
    `  ${'workspace'.padEnd(11)}${describeRange(workspaceOf(plan))}`,
    'for each chunk of a batch:',
    ...program.chunk.map(explainInstruction),
  ]
  if (program.step.length > 0)
    lines.push('then, once a step:', ...program.step.map((i, n) => explainInstruction(i, n + program.chunk.length)))
  return lines.join('\n')
}

function workspaceOf({ curvature, length }: Plan): Range {
  const at = curvature.at + curvature.length
  return { at, length: length - at }
}

function describeRange({ at, length }: Range): string {
  return length === 0 ? 'none' : `[${at}, ${at + length})`
}

function explainInstruction(instruction: Instruction, index: number): string {
  const row = OPS[instruction.op]
  const values = instruction as unknown as Record<string, number>
  const operands = row.operands.map((name) => `${name}=${values[name]}`).join(' ')
  return `${String(index).padStart(4)}  ${opKey(instruction).padEnd(24)}${operands.padEnd(56)}  ${row.synopsis}`
}
