/**
 * Curvature: the objective of a network around one point in the space of its parameters. Its value and gradient there,
 * exact products with its Hessian, and its value elsewhere.
 *
 * The objective is what full-batch training descends: data loss and penalty, dropout off. Products are those of the
 * compiled plan differentiated once more (forward-over-reverse, Pearlmutter 1994), never differences. Where f' jumps
 * (relu at 0, mae at 0) the Hessian is that of the side that the plan's own f' takes; the jump itself is not in it.
 *
 * Vectors are packed: one number a parameter, tensor after tensor as `net.weights()` lists them, in double.
 */
import type { Bound, Engine } from '../backends/backend'
import { DownhillError } from '../errors'
import type { Network } from '../network'
import { areFinite, type Layout, pack, unpack } from '../plan/layout'
import type { Floats, ProgramName, Report, Table } from '../plan/plan'
import { evaluation } from '../train/slices'

export class Curvature {
  readonly #engine: Engine
  readonly #data: Bound
  readonly #layout: Layout
  #point: Float64Array
  /** What the engine's parameters are now; `curvature` needs the point's. */
  #isAtPoint = false
  #products = 0
  #loss = Number.NaN
  #gradient: Float64Array = new Float64Array(0)
  #gradientNorm = Number.NaN

  /** Takes the parameters as they are now; what becomes of them later is not seen. Call `look` before all else. */
  constructor(network: Network, table: Table) {
    this.#layout = network.layout
    this.#point = pack(network.parameters, network.layout)
    this.#engine = network.surveyor(table.rows, table.targets)
    this.#data = this.#engine.bind(table)
  }

  /** Where it looks: the parameters. */
  get point(): Float64Array {
    return this.#point
  }
  /** The objective there: data loss and penalty. */
  get loss(): number {
    return this.#loss
  }
  get gradient(): Float64Array {
    return this.#gradient
  }
  get gradientNorm(): number {
    return this.#gradientNorm
  }
  /** Products made so far. */
  get products(): number {
    return this.#products
  }

  /** Goes to `point` and takes loss and gradient. @throws ERR_DIVERGED where they are not finite */
  async look(point: Float64Array = this.#point): Promise<void> {
    this.#point = point
    this.#move(point)
    const report = await this.#run('linearize')
    this.#isAtPoint = true
    this.#loss = report.loss[0]
    this.#gradientNorm = report.gradientNorm[0]
    if (report.stopped === 'nonFinite') throw notFinite(`the loss is ${this.#loss}`)
    this.#gradient = pack(this.#engine.read(this.#engine.plan.gradients), this.#layout)
  }

  /** The Hessian at the point times `v`. @throws ERR_DIVERGED where it is not finite */
  async product(v: Float64Array): Promise<Float64Array> {
    const { plan } = this.#engine
    if (!this.#isAtPoint) this.#move(this.#point)
    this.#isAtPoint = true
    this.#engine.write(plan.tangent, unpack(v, this.#layout))
    await this.#run('curvature')
    this.#products += 1
    const Hv = pack(this.#engine.read(plan.curvature), this.#layout)
    if (!areFinite(Hv)) throw notFinite('a second derivative is infinite')
    return Hv
  }

  /** The objective at other parameters, whatever it may be there. */
  async objective(parameters: Float64Array): Promise<number> {
    this.#move(parameters)
    return (await this.#run('objective')).loss[0]
  }

  close(): void {
    this.#data.release()
    this.#engine.close()
  }

  #move(parameters: Float64Array): void {
    this.#engine.write(this.#engine.plan.trainable, unpack(parameters, this.#layout))
    this.#isAtPoint = false
  }

  /** On another thread: a product of a large net takes long enough to be noticed on this one. */
  #run(program: ProgramName): Promise<Report> {
    const slice = evaluation(this.#data, program)
    return this.#engine.runAsync({ ...slice, learningRate: new Float64Array(1) })
  }
}

function notFinite(why: string): DownhillError {
  return new DownhillError(
    'ERR_DIVERGED',
    `Expected a finite loss and finite derivatives at these weights, but ${why}.`,
  )
}

/** Looks at the objective of `network` over `table` as it is now, hands it to `body`, and lets go of it. */
export async function withCurvature<T>(
  network: Network,
  table: Table,
  body: (curvature: Curvature) => Promise<T>,
): Promise<T> {
  const curvature = new Curvature(network, table)
  try {
    await curvature.look()
    return await body(curvature)
  } finally {
    curvature.close()
  }
}

export function dot(a: Floats, b: Floats): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}

/** a + s·b. */
export function along(a: Float64Array, s: number, b: Float64Array): Float64Array {
  const sum = new Float64Array(a.length)
  for (let i = 0; i < a.length; i++) sum[i] = a[i] + s * b[i]
  return sum
}
