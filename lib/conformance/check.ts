/**
 * What a row of the table of checks is, and what rows share.
 */
import type { Task } from '../data/targets'
import type { Trial } from './trial'

/** A promise, and how it is put to the test. */
export interface Check {
  readonly name: string
  readonly says: string
  /** Left out where it means nothing. @default everywhere */
  readonly applies?: (trial: Trial) => boolean
  readonly run: (trial: Trial) => void | Promise<void>
}

export const onTasks =
  (...tasks: readonly Task[]) =>
  ({ task }: Trial): boolean =>
    tasks.includes(task)
export const ofLabels = onTasks('binary', 'multiclass')
export const apart = ({ areRowsApart }: Trial): boolean => areRowsApart

export const reversed = <T>(list: readonly T[]): T[] => [...list].reverse()
export const twice = <T>(list: readonly T[]): T[] => list.flatMap((item) => [item, item])
/** y of a trial's task for other labels than its own. */
export const relabelled = <T>({ y, classes = [] }: Trial, labels: readonly T[]): T[] =>
  y.map((label) => labels[classes.indexOf(label as string)])
export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
