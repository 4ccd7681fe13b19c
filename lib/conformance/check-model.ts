/**
 * `checkModel`: whether models with these options and layers keep what the library promises of all models. For those who
 * add a layer, an optimizer, a backend of their own; scikit-learn's `check_estimator` in meaning.
 */
import { rmSync } from 'node:fs'
import type { BackendName } from '../backends/pick'
import type { Task } from '../data/targets'
import { expected, refuseUnknown } from '../errors'
import { FNN } from '../fnn'
import type { LayerSpec } from '../layers'
import { checkName } from '../names'
import type { ModelOptions } from '../options'
import type { FitOptions } from '../train/options'
import { CHECKS } from './checks'
import { Trial } from './trial'

const TASKS: readonly Task[] = ['binary', 'multiclass', 'multilabel', 'regression']

export interface CheckModelOptions {
  /** Options of the model; the task is added. `layers` are those before the output layer, which is added. @default {} */
  model?: Omit<ModelOptions, 'task' | 'inputs' | 'outputs' | 'classes' | 'seed'>
  /** Options of `fit` that hold in every check, save what one is about. @default {} */
  fit?: FitOptions
  /** @default all four */
  tasks?: readonly Task[]
  /** @default the model's */
  backend?: BackendName
  /** Makes a model, e.g. one of a subclass. @default (options) => new FNN(options) */
  create?: (options: ModelOptions) => FNN
}

export interface ModelCheck {
  readonly name: string
  readonly task: Task
  /** What must hold, in a sentence. */
  readonly says: string
  readonly ok: boolean
  /** What did not. */
  readonly error?: string
}

export interface ModelChecks {
  readonly ok: boolean
  readonly checks: readonly ModelCheck[]
}

/** Runs every check that applies, on each task. Rejects for bad options only. @throws ERR_OPTION */
export async function checkModel(options: CheckModelOptions = {}): Promise<ModelChecks> {
  refuseUnknown(options, ['model', 'fit', 'tasks', 'backend', 'create'], 'checkModel')
  const { model = {}, fit = {}, tasks = TASKS, backend, create = (given: ModelOptions) => new FNN(given) } = options
  if (!Array.isArray(tasks) || tasks.length === 0) throw expected('a list of tasks', 'tasks', tasks)
  for (const task of tasks) checkName(task, TASKS, 'tasks')
  const { layers = null, ...rest } = model as ModelOptions & { layers?: readonly LayerSpec[] }
  const load = async (path: string): Promise<FNN> => {
    const net = await FNN.load(path, { backend: backend ?? model.backend ?? 'auto' })
    rmSync(path, { force: true })
    return net
  }
  const checks: ModelCheck[] = []
  for (const task of tasks as readonly Task[]) {
    const trial = new Trial({ task, layers, model: { ...rest, ...(backend && { backend }) }, fit, create, load })
    for (const { name, says, run, applies } of CHECKS) {
      if (applies && !applies(trial)) continue
      try {
        await run(trial)
        checks.push({ name, task, says, ok: true })
      } catch (error) {
        checks.push({ name, task, says, ok: false, error: error instanceof Error ? error.message : String(error) })
      }
    }
  }
  return { ok: checks.every(({ ok }) => ok), checks }
}
