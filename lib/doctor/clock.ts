/**
 * The clock of a diagnosis: what is left of its budget. It ends no work by itself; whoever begins some asks it first.
 */
export class Clock {
  readonly #end: number

  /** @param budget in seconds from `began`, a moment of performance.now() */
  constructor(
    readonly budget: number,
    began = performance.now(),
  ) {
    this.#end = began + 1000 * budget
  }

  get isOver(): boolean {
    return performance.now() >= this.#end
  }

  /** Seconds that a piece of work may take: a share of the budget, and no more than is left. */
  seconds(share: number): number {
    return Math.max(0.02, Math.min(this.budget * share, (this.#end - performance.now()) / 1000))
  }
}
