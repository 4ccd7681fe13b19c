/**
 * The plan: what crosses the border between meaning and machine.
 *
 * A model, its loss and its optimizer are compiled (plan/compile.ts) into lists of layer-sized instructions over one
 * arena of floats. A backend loads the plan and runs it; it decides nothing. This file is the vocabulary: the
 * operations with their operands and meaning, the layout, and what one call may ask for. It knows no model, no backend.
 *
 * Letters: B rows in a chunk, N rows in the batch, I inputs and O outputs of a layer, T target columns, n elements;
 * ω is the weight of a row, data.weights[row], or 1 where the data have none.
 * Every operand is a number: an arena offset in floats (−1: absent), a size, or a constant. All matrices are row-major
 * and dense; weights are I × O. R before a name is its derivative along the tangent, a direction in the space of the
 * parameters (the operator R{·} of Pearlmutter 1994, *Fast exact multiplication by the Hessian*).
 */

/**
 * Every operation: its operands, in the order in which they are encoded, and its meaning.
 *
 * Operations with `rows: <table>` exist once for each row of that table, as `activate.tanh` or `loss.mse`.
 * `scope` says when an operation may run: once for each *chunk* of a batch, or once for each *step*.
 */
export const OPS = {
  gather: { scope: 'chunk', operands: ['x', 'I'], synopsis: 'x[b,:] = scale · data.x[rows[b],:]' },
  gatherTargets: { scope: 'chunk', operands: ['t', 'T'], synopsis: 't[b,:] = data.y[rows[b],:]' },
  affine: { scope: 'chunk', operands: ['x', 'W', 'b', 'y', 'I', 'O'], synopsis: 'y = x·W + b' },
  affineGradWeights: {
    scope: 'chunk',
    operands: ['x', 'dy', 'dW', 'db', 'I', 'O'],
    synopsis: 'dW (+)= xᵀ·dy;  db (+)= Σ_b dy[b,:]   (= in the first chunk of a step, += in the others)',
  },
  affineGradInput: { scope: 'chunk', operands: ['dy', 'W', 'dx', 'I', 'O'], synopsis: 'dx = dy·Wᵀ' },
  activate: { scope: 'chunk', operands: ['x', 'y', 'O'], rows: 'activations', synopsis: 'y = f(x)   (y may be x)' },
  activateGrad: {
    scope: 'chunk',
    operands: ['x', 'y', 'dy', 'dx', 'O'],
    rows: 'activations',
    synopsis: "dx = dy ⊙ f'(x)   (dx may be dy; x is y where f' is computed from y)",
  },
  mask: {
    scope: 'chunk',
    operands: ['x', 'y', 'O', 'rate', 'stream'],
    synopsis: 'y[i] = x[i] · (bits(seed, stream, step, i) ≥ rate·2³² ? 1/(1−rate) : 0)   (i counts through the batch)',
  },
  loss: {
    scope: 'chunk',
    operands: ['z', 't', 'dz', 'O', 'T', 'scale', 'overRows', 'parameter', 'second'],
    rows: 'losses',
    synopsis:
      's = overRows ? scale/Σω : scale;  loss += s·Σ ω·l(z,t);  dz = s·ω·∂l/∂z   ' +
      '(dz −1: not wanted; Σω over the batch, s = 0 where that is 0)',
  },
  affineTangent: {
    scope: 'chunk',
    operands: ['x', 'Rx', 'W', 'RW', 'Rb', 'Ry', 'I', 'O'],
    synopsis: 'Ry = Rx·W + x·RW + Rb   (Rx −1: zero)',
  },
  lossTangent: {
    scope: 'chunk',
    operands: ['z', 't', 'Rz', 'Rdz', 'O', 'T', 'scale', 'overRows', 'parameter', 'second'],
    rows: 'losses',
    synopsis: 's = overRows ? scale/Σω : scale;  Rdz = s·ω·(∂²l/∂z²)·Rz   (Σω as in loss)',
  },
  activateGradTangent: {
    scope: 'chunk',
    operands: ['x', 'y', 'Rx', 'dy', 'Rdy', 'Rdx', 'O'],
    rows: 'activations',
    synopsis: "Rdx = f'(x) ⊙ Rdy + f''(x) ⊙ Rx ⊙ dy   (Rdx may be Rdy; x is y where f' is computed from y)",
  },
  affineGradWeightsTangent: {
    scope: 'chunk',
    operands: ['x', 'Rx', 'dy', 'Rdy', 'RdW', 'Rdb', 'I', 'O'],
    synopsis:
      'RdW (+)= xᵀ·Rdy + Rxᵀ·dy;  Rdb (+)= Σ_b Rdy[b,:]   (Rx −1: zero; = in the first chunk, += in the others)',
  },
  affineGradInputTangent: {
    scope: 'chunk',
    operands: ['dy', 'Rdy', 'W', 'RW', 'Rdx', 'I', 'O'],
    synopsis: 'Rdx = Rdy·Wᵀ + dy·RWᵀ',
  },
  scale: {
    scope: 'chunk',
    operands: ['x', 'g', 'b', 'y', 'O'],
    synopsis: 'y = g ⊙ x + b   (g and b: one number a unit)',
  },
  scaleGrad: {
    scope: 'chunk',
    operands: ['x', 'dy', 'dg', 'db', 'O'],
    synopsis: 'dg (+)= Σ_b dy ⊙ x;  db (+)= Σ_b dy   (= in the first chunk of a step, += in the others)',
  },
  scaleGradInput: { scope: 'chunk', operands: ['dy', 'g', 'dx', 'O'], synopsis: 'dx = g ⊙ dy   (dx may be dy)' },
  scaleTangent: {
    scope: 'chunk',
    operands: ['x', 'Rx', 'g', 'Rg', 'Rb', 'Ry', 'O'],
    synopsis: 'Ry = g ⊙ Rx + Rg ⊙ x + Rb   (Rx −1: zero)',
  },
  scaleGradTangent: {
    scope: 'chunk',
    operands: ['x', 'Rx', 'dy', 'Rdy', 'Rdg', 'Rdb', 'O'],
    synopsis:
      'Rdg (+)= Σ_b (Rdy ⊙ x + dy ⊙ Rx);  Rdb (+)= Σ_b Rdy   (Rx −1: zero; = in the first chunk, += in the others)',
  },
  scaleGradInputTangent: {
    scope: 'chunk',
    operands: ['dy', 'Rdy', 'g', 'Rg', 'Rdx', 'O'],
    synopsis: 'Rdx = g ⊙ Rdy + Rg ⊙ dy   (Rdx may be Rdy)',
  },
  normalizeRows: {
    scope: 'chunk',
    operands: ['x', 'y', 's', 'O', 'epsilon'],
    synopsis: 's[b] = 1/√(var x[b,:] + ε);  y[b,:] = s[b]·(x[b,:] − mean x[b,:])   (var: Σ(x − mean)²/O)',
  },
  normalizeRowsGrad: {
    scope: 'chunk',
    operands: ['y', 's', 'dy', 'dx', 'O'],
    synopsis: 'dx = s·(dy − mean dy − y·mean(dy ⊙ y)), means over each row   (dx may be dy)',
  },
  normalizeRowsGradTangent: {
    scope: 'chunk',
    operands: ['y', 's', 'Rx', 'dy', 'Rdy', 'Rdx', 'O'],
    synopsis: 'Rdx = J·Rdy + RJ·dy with J·v = s·(v − mean v − y·mean(v ⊙ y)), over each row   (Rdx may be Rdy)',
  },
  normalizeColumns: {
    scope: 'chunk',
    operands: ['x', 'y', 's', 'mean', 'variance', 'oldMean', 'oldVariance', 'O', 'epsilon'],
    synopsis:
      'mean = Σ_b x/B;  s = 1/√(Σ_b (x − mean)²/B + ε);  y = s·(x − mean);  variance = Σ_b (x − mean)²/(B − 1)   ' +
      '(B = 1: mean and variance are the old ones, s = 1/√(variance + ε))',
  },
  normalizeColumnsGrad: {
    scope: 'chunk',
    operands: ['y', 's', 'dy', 'dx', 'O'],
    synopsis: 'dx = s·(dy − mean dy − y·mean(dy ⊙ y)), means down each column   (B = 1: dx = s·dy; dx may be dy)',
  },
  normalizeColumnsGradTangent: {
    scope: 'chunk',
    operands: ['y', 's', 'Rx', 'dy', 'Rdy', 'Rdx', 'O'],
    synopsis: 'Rdx = J·Rdy + RJ·dy, J as in normalizeRowsGradTangent, down each column   (Rdx may be Rdy)',
  },
  normalizeBy: {
    scope: 'chunk',
    operands: ['x', 'mean', 'variance', 'y', 'O', 'epsilon'],
    synopsis: 'y = (x − mean)/√(variance + ε), of each unit',
  },
  normalizeByGrad: {
    scope: 'chunk',
    operands: ['dy', 'variance', 'dx', 'O', 'epsilon'],
    synopsis: 'dx = dy/√(variance + ε)   (dx may be dy)',
  },
  add: { scope: 'chunk', operands: ['x', 'z', 'y', 'O'], synopsis: 'y = x + z   (z −1: zero; y may be x)' },
  copyColumn: {
    scope: 'chunk',
    operands: ['x', 'y', 'I', 'O', 'column', 'to'],
    synopsis: 'y[b,to] = x[b,column]   (x −1: zero)',
  },
  embed: {
    scope: 'chunk',
    operands: ['x', 'W', 'y', 'I', 'O', 'column', 'to', 'size', 'D'],
    synopsis: 'y[b, to … to + D) = W[x[b,column],:]   (W: size × D; what is no index counts as 0)',
  },
  embedGrad: {
    scope: 'chunk',
    operands: ['x', 'dy', 'dW', 'I', 'O', 'column', 'to', 'size', 'D'],
    synopsis:
      'dW[x[b,column],:] (+)= dy[b, to … to + D), for each b   (= in the first chunk of a step, += in the others)',
  },
  prelu: {
    scope: 'chunk',
    operands: ['x', 'a', 'y', 'O', 'A'],
    synopsis: 'y = x > 0 ? x : a·x   (a: one number a unit, A = O; or one for all, A = 1)',
  },
  preluGrad: {
    scope: 'chunk',
    operands: ['x', 'a', 'dy', 'dx', 'O', 'A'],
    synopsis: 'dx = x > 0 ? dy : a·dy   (dx may be dy)',
  },
  preluGradSlope: {
    scope: 'chunk',
    operands: ['x', 'dy', 'da', 'O', 'A'],
    synopsis: 'da (+)= Σ_b (x > 0 ? 0 : x·dy)   (= in the first chunk of a step, += in the others)',
  },
  preluTangent: {
    scope: 'chunk',
    operands: ['x', 'Rx', 'a', 'Ra', 'Ry', 'O', 'A'],
    synopsis: 'Ry = x > 0 ? Rx : a·Rx + Ra·x   (Rx −1: zero)',
  },
  preluGradTangent: {
    scope: 'chunk',
    operands: ['x', 'a', 'Ra', 'dy', 'Rdy', 'Rdx', 'O', 'A'],
    synopsis: 'Rdx = x > 0 ? Rdy : a·Rdy + Ra·dy   (Rdx may be Rdy)',
  },
  preluGradSlopeTangent: {
    scope: 'chunk',
    operands: ['x', 'Rx', 'dy', 'Rdy', 'Rda', 'O', 'A'],
    synopsis: 'Rda (+)= Σ_b (x > 0 ? 0 : x·Rdy + Rx·dy)   (Rx −1: zero; = in the first chunk, += in the others)',
  },
  penalty: {
    scope: 'step',
    operands: ['w', 'dw', 'n', 'lambda'],
    synopsis: 'penalty += ½·lambda·Σw²;  dw += lambda·w   (dw −1: not wanted)',
  },
  penaltyL1: {
    scope: 'step',
    operands: ['w', 'dw', 'n', 'lambda'],
    synopsis: 'penalty += lambda·Σ|w|;  dw += lambda·sign(w), 0 at 0   (dw −1: not wanted)',
  },
  guard: {
    scope: 'step',
    operands: ['g', 'n'],
    synopsis: 'gradientNorm = √Σg²;  end the slice before this update unless loss, penalty and norm are finite',
  },
  account: {
    scope: 'step',
    operands: ['w', 'g', 'm', 'v', 'most', 'n', 'coupled', 'decay', 'share', 'corrected', 'initial', 'epsilon'],
    synopsis:
      'sums = Σg²/P, Σg·m/P, Σg·w/P, Σg·w;  P = v −1 ? 1 : √(u/(corrected ? 1−decay^k : 1) + initial) + ε, ' +
      'u = max(most, decay·v + share·(g + coupled·w)²)   (k = step + 1; w −1, m −1, most −1: 0)',
  },
  clipNorm: {
    scope: 'step',
    operands: ['g', 'n', 'most'],
    synopsis: 'g ·= min(1, most/(gradientNorm + 1e-6)), gradientNorm as guard has found it',
  },
  clipValue: { scope: 'step', operands: ['g', 'n', 'most'], synopsis: 'g = min(most, max(−most, g))' },
  coupleDecay: { scope: 'step', operands: ['w', 'g', 'n', 'lambda'], synopsis: 'g += lambda·w' },
  momentum: {
    scope: 'step',
    operands: ['g', 'm', 'n', 'beta', 'nesterov'],
    synopsis: 'm = beta·m + g;  g = nesterov ? g + beta·m : m',
  },
  scaleByAdam: {
    scope: 'step',
    operands: ['g', 'm', 'v', 'n', 'beta1', 'beta2', 'epsilon'],
    synopsis: 'm = β1·m + (1−β1)·g;  v = β2·v + (1−β2)·g²;  g = m/(1−β1^k) / (√(v/(1−β2^k)) + ε)   (k = step + 1)',
  },
  scaleByRms: {
    scope: 'step',
    operands: ['g', 'v', 'n', 'decay', 'epsilon'],
    synopsis: 'v = decay·v + (1−decay)·g²;  g = g / (√v + ε)',
  },
  scaleByAdagrad: {
    scope: 'step',
    operands: ['g', 'v', 'n', 'initial', 'epsilon', 'slowing'],
    synopsis: 'v += g²;  g = g / (√(v + initial) + ε) / (1 + slowing·step)',
  },
  scaleByAmsgrad: {
    scope: 'step',
    operands: ['g', 'm', 'v', 'most', 'n', 'beta1', 'beta2', 'epsilon'],
    synopsis: 'as scaleByAdam, with most = max(most, v) in place of v under the root',
  },
  scaleByNadam: {
    scope: 'step',
    operands: ['g', 'm', 'v', 'n', 'beta1', 'beta2', 'epsilon', 'psi'],
    synopsis:
      'm, v as scaleByAdam;  g = ((1−μ_k)/(1−Π_k)·g + μ_k+1/(1−Π_k+1)·m) / (√(v/(1−β2^k)) + ε), ' +
      'μ_k = β1·(1 − ½·0.96^(k·psi)), Π_k = μ_1 ⋯ μ_k   (k = step + 1)',
  },
  signOfMomentum: {
    scope: 'step',
    operands: ['g', 'm', 'n', 'beta1', 'beta2'],
    synopsis: 'c = β1·m + (1−β1)·g;  m = β2·m + (1−β2)·g;  g = c > 0 ? 1 : c < 0 ? −1 : c',
  },
  orthogonalize: {
    scope: 'step',
    operands: ['g', 'I', 'O', 'work', 'steps', 'scale'],
    synopsis:
      'X = g / (√Σg² + 1e-7), I × O; steps times X = 3.4445·X − 4.7750·(XXᵀ)X + 2.0315·(XXᵀ)²X;  g = scale·X   ' +
      '(work: I·O + 2·min(I, O)² floats)',
  },
  average: {
    scope: 'step',
    operands: ['w', 'a', 'n', 'decay'],
    synopsis: 'a = k = 1 ? w : decay·a + (1−decay)·w   (k = step + 1)',
  },
  decayWeights: {
    scope: 'step',
    operands: ['w', 'n', 'lambda'],
    synopsis: 'w −= learningRate·lambda·w, at most ±the largest float',
  },
  track: {
    scope: 'step',
    operands: ['x', 'to', 'n', 'rate'],
    synopsis: 'to += rate·(x − to), at most ±the largest float',
  },
  descend: { scope: 'step', operands: ['w', 'g', 'n'], synopsis: 'w −= learningRate·g, at most ±the largest float' },
} as const satisfies Record<string, OpRow>

/** One row of the vocabulary. */
export interface OpRow {
  readonly scope: 'chunk' | 'step'
  readonly operands: readonly string[]
  readonly rows?: 'activations' | 'losses'
  readonly synopsis: string
}

export type OpName = keyof typeof OPS
type Operands<K extends OpName> = { readonly [P in (typeof OPS)[K]['operands'][number]]: number }

/** One instruction; `row` names the row of a table where the operation has one (`tanh`, `mse`). */
export type Instruction = { [K in OpName]: { readonly op: K; readonly row?: string } & Operands<K> }[OpName]
export type InstructionOf<K extends OpName> = Extract<Instruction, { op: K }>

/** The name under which backends list an operation: `affine`, `activate.tanh`. */
export function opKey(instruction: { readonly op: string; readonly row?: string }): string {
  return instruction.row === undefined ? instruction.op : `${instruction.op}.${instruction.row}`
}

/** `length` floats from `at`. */
export interface Range {
  readonly at: number
  readonly length: number
}

/** Offsets of tensors are multiples of this many floats (64 bytes in float32), with zeros between them. */
export const ALIGNMENT = 16

export function align(n: number): number {
  return Math.ceil(n / ALIGNMENT) * ALIGNMENT
}

/**
 * One thing a plan can do. `chunk` runs for each chunk of at most `capacity` rows of a batch; `step` once after the
 * chunks of a batch. Programs without a `step` list change no parameter.
 */
export interface Program {
  readonly chunk: readonly Instruction[]
  readonly step: readonly Instruction[]
  /** Where a chunk's result stands, (B, columns); its rows are returned in the report. */
  readonly output?: { readonly at: number; readonly columns: number }
}

/**
 * The loss and its gradient for training, and those that only look: three without the penalty, as users ask for them;
 * then the objective as trained (penalty in it, masks off), its gradient, and its Hessian times the tangent. `update`
 * applies an optimizer to whatever stands in `gradients`, for those who want to know what it would do.
 */
export type ProgramName =
  | 'train'
  | 'gradient'
  | 'evaluate'
  | 'predict'
  | 'objective'
  | 'linearize'
  | 'curvature'
  | 'update'

/**
 * A compiled model. The arena is `parameters | gradients | state | tangent | curvature | workspace`: the parameters
 * (weights, then biases, each tensor aligned, then those of frozen layers, then what is kept but has no gradient) come first, so that several engines can
 * share that block. All but the last are laid out alike, float by float; those that no program needs are empty.
 */
export interface Plan {
  readonly dtype: Dtype
  /** Columns of x and of the targets. */
  readonly inputs: number
  readonly targets: number
  /** Rows of a chunk; the workspace holds activations for so many. A function of the data, never of threads. */
  readonly capacity: number
  /** Floats in the whole arena. */
  readonly length: number
  readonly parameters: Range
  /** What training changes: weights and biases. The gradient vector mirrors it, float by float. */
  readonly trainable: Range
  readonly gradients: Range
  readonly state: Range
  /** The last vector of it, where the weights are averaged; else empty. */
  readonly average: Range
  /** The direction that `curvature` is given, and what it returns: the Hessian times that direction. */
  readonly tangent: Range
  readonly curvature: Range
  readonly programs: { readonly [P in ProgramName]?: Program }
}

export type Dtype = 'float32' | 'float64'
/** A vector of the backend's own kind. */
export type Floats = Float32Array | Float64Array

/** Data as a backend takes it: checked, row-major. `value = entry × scale`. Copied by `bind`, never kept. */
export interface Table {
  readonly rows: number
  readonly columns: number
  readonly x: Floats | Uint8Array
  readonly scale: number
  /** Target columns; 0 where there are none, and then y is null. */
  readonly targets: number
  readonly y: Floats | null
  /** Weight of each row in the loss, ≥ 0, in double whatever the plan computes in; left out, null: 1 each. */
  readonly weights?: Float64Array | null
}

/**
 * A run of steps in one crossing. All of it is copied at the call.
 *
 * Rows are used in the order of `rows`, or 0 … pass−1 again and again where it is null; a step takes `batch` of them,
 * the last step of a pass what is left. The slice begins `start` rows into a pass.
 */
export interface Slice<Data = unknown> {
  readonly program: ProgramName
  readonly data: Data
  /** Row numbers, in order of use, for all steps of the slice. */
  readonly rows: Uint32Array | null
  readonly pass: number
  readonly batch: number
  readonly start: number
  readonly steps: number
  /** One rate a step; empty where the program makes no update. */
  readonly learningRate: Float64Array
  /** Steps made since the optimizer's state began: the k of Adam's bias correction, and the counter of the masks. */
  readonly step: number
  /** Decides the masks. */
  readonly seed: number
  /** Asynchronous only: not begun if the slice submitted before it ended early. */
  readonly follows: boolean
}

/** What a slice did. Arrays have one entry a step begun, the refused one included. */
export interface Report {
  /** Whole steps made. */
  readonly steps: number
  /** Loss with penalty, in double; NaN or ±Infinity only in the last entry. */
  readonly loss: Float64Array
  readonly penalty: Float64Array
  /** Σω of the batch: its rows, where they have no weights. */
  readonly weight: Float64Array
  /** Norm of the whole gradient, penalty in it; 0 where the program has no guard. */
  readonly gradientNorm: Float64Array
  /** What `account` found, four numbers a whole step; empty where the program has none. */
  readonly sums: Float64Array
  /** How long it ran. */
  readonly milliseconds: number
  /** Why it ended early, if it did. */
  readonly stopped: 'asked' | 'nonFinite' | null
  /** rows × columns of the program's output, in the order of use; null where it has none. */
  readonly output: Floats | null
}

/** An instruction as numbers: operands in the order of its row in OPS. */
export function encodeOperands(instruction: Instruction): number[] {
  const operands: readonly string[] = OPS[instruction.op].operands
  const values = instruction as unknown as Record<string, number>
  return operands.map((name) => values[name])
}
