/**
 * The corpus: programs that are sick, each with its repaired twin, and programs that only look so.
 *
 * A sick case is a good program with something made wrong; the twin is the good program. For every id of the vocabulary
 * there are two at least, on different tasks. The healthy ones are what a careless detector would fire at.
 */
import open from '../fixtures/open-cases.json'
import type { Case, ProgramSpec } from './program'

type Layers = ProgramSpec['layers']

const net = (units: number[], act: string, outputs: number, out: string, init = 'glorot_uniform'): Layers => [
  ...units.map((n) => ({ units: n, act, init })),
  { units: outputs, act: out, init: 'glorot_uniform' },
]

/** Good programs, one a task. */
const GOOD = {
  asker: {
    data: { kind: 'asker' },
    program: {
      layers: net([64, 32], 'tanh', 1, 'sigmoid'),
      loss: 'bce',
      optimizer: { name: 'sgd', lr: 0.3 },
      batch: null,
      epochs: 200,
    },
  },
  ball: {
    data: { kind: 'ball', d: 3 },
    program: {
      layers: net([32, 32], 'relu', 1, 'sigmoid', 'he_uniform'),
      loss: 'bce',
      optimizer: { name: 'adam', lr: 0.01 },
      batch: 32,
      epochs: 60,
    },
  },
  blobs: {
    data: { kind: 'blobs', k: 4, d: 5, n: 400, apart: 3 },
    program: {
      layers: net([32], 'relu', 4, 'softmax', 'he_uniform'),
      loss: 'cce',
      optimizer: { name: 'sgd', lr: 0.1 },
      batch: 32,
      epochs: 40,
    },
  },
  cancer: {
    data: { kind: 'cancer' },
    program: {
      layers: net([32, 16], 'tanh', 1, 'sigmoid'),
      loss: 'bce',
      optimizer: { name: 'sgd', lr: 0.1 },
      batch: null,
      epochs: 150,
      preprocess: { x: 'standardise' },
    },
  },
  digits: {
    data: { kind: 'digits' },
    program: {
      layers: net([64], 'relu', 10, 'softmax', 'he_uniform'),
      loss: 'cce',
      optimizer: { name: 'adam', lr: 0.001 },
      batch: 64,
      epochs: 20,
      preprocess: { x: { scale: 1 / 255 } },
    },
  },
  friedman: {
    data: { kind: 'friedman' },
    program: {
      layers: net([32, 32], 'relu', 1, 'linear', 'he_uniform'),
      loss: 'mse',
      optimizer: { name: 'adam', lr: 0.005 },
      batch: 32,
      epochs: 100,
      preprocess: { x: 'standardise', y: 'standardise' },
    },
  },
  noisy: {
    data: { kind: 'blobs', k: 2, n: 300, d: 8, apart: 1 },
    program: {
      layers: net([8], 'tanh', 2, 'softmax'),
      loss: 'cce',
      optimizer: { name: 'adam', lr: 0.005 },
      batch: 32,
      epochs: 40,
    },
  },
  rough: {
    data: { kind: 'plane', n: 160, d: 10, noise: 3 },
    program: {
      layers: net([8], 'tanh', 1, 'linear'),
      loss: 'mse',
      optimizer: { name: 'adam', lr: 0.005 },
      batch: 32,
      epochs: 40,
    },
  },
  plane: {
    data: { kind: 'plane' },
    program: {
      layers: net([16], 'tanh', 1, 'linear'),
      loss: 'mse',
      optimizer: { name: 'sgd', lr: 0.05 },
      batch: null,
      epochs: 300,
    },
  },
  sine: {
    data: { kind: 'sine' },
    program: {
      layers: net([32, 32], 'tanh', 1, 'linear'),
      loss: 'mse',
      optimizer: { name: 'adam', lr: 0.01 },
      batch: null,
      epochs: 300,
    },
  },
} as const satisfies Record<string, Pick<Case, 'data' | 'program'>>

type Good = keyof typeof GOOD

function sick(label: string | string[], on: Good, wrong: Partial<ProgramSpec>, right: Partial<ProgramSpec> = {}): Case {
  const { data, program } = GOOD[on]
  const labels = typeof label === 'string' ? [label] : label
  const good = { ...program, ...right } as ProgramSpec
  return {
    id: `${labels[0]} on ${on}`,
    data,
    program: { ...good, ...wrong },
    labels,
    fixed_program_overrides: { preprocess: {}, grad_bug: null, l2: 0, ...good },
  }
}

/** The good program's layers with something done to each. */
function layersOf(on: Good, change: (layer: Layers[number], i: number, last: number) => Layers[number]): Layers {
  const layers = GOOD[on].program.layers as Layers
  return layers.map((layer, i) => change(layer, i, layers.length - 1))
}

const initAll = (on: Good, init: Layers[number]['init'], also: Partial<Layers[number]> = {}): Layers =>
  layersOf(on, (layer) => ({ ...layer, init, ...also }))
const output = (on: Good, act: string): Layers =>
  layersOf(on, (layer, i, last) => (i === last ? { ...layer, act } : layer))
const inner = (on: Good, also: Partial<Layers[number]>): Layers =>
  layersOf(on, (layer, i, last) => (i < last ? { ...layer, ...also } : layer))
const rate = (name: string, lr: number, more: object = {}) => ({ optimizer: { name, lr, ...more } })
const constant = (value: number) => ({ kind: 'constant', value })

export const SICK: Case[] = [
  sick(
    ['bad_init_all_positive', 'bad_init_scale'],
    'cancer',
    { layers: initAll('cancer', { kind: 'uniform', lo: 0, hi: 5 }) },
    { epochs: 20 },
  ),
  sick(
    ['bad_init_all_positive', 'bad_init_scale', 'lr_too_high', 'dead_relu'],
    'digits',
    {
      layers: initAll('digits', { kind: 'uniform', lo: 0, hi: 3 }),
      epochs: 5,
    },
    { epochs: 5 },
  ),
  sick(['bad_init_constant'], 'ball', { layers: initAll('ball', constant(0.1)) }),
  sick(['bad_init_constant'], 'digits', { layers: initAll('digits', 'zeros') }),
  sick(
    ['bad_init_scale', 'lr_above_one_step_limit'],
    'asker',
    { layers: initAll('asker', { kind: 'normal', std: 10 }), epochs: 50 },
    { epochs: 50 },
  ),
  sick(
    ['bad_init_scale'],
    'friedman',
    { layers: initAll('friedman', { kind: 'normal', std: 1e-4 }), ...rate('sgd', 0.05) },
    rate('sgd', 0.05),
  ),
  sick(['dead_relu', 'bad_init_scale'], 'ball', { layers: inner('ball', { bias_init: constant(-20) }) }),
  sick(['dead_relu', 'lr_too_high'], 'friedman', { layers: inner('friedman', { bias_init: constant(-30) }) }),
  sick(
    ['exploding_forward', 'bad_init_scale', 'lr_too_high'],
    'friedman',
    {
      layers: initAll('friedman', { kind: 'normal', std: 3 }).flatMap((l, i) => (i === 0 ? [l, l, l] : [l])),
    },
    {
      layers: inner('friedman', {})
        .flatMap((l, i) => (i === 0 ? [l, l, l] : [l]))
        .map((l) => ({ ...l, units: l.units })),
    },
  ),
  sick(
    ['exploding_forward', 'bad_init_scale', 'lr_too_high', 'lr_above_one_step_limit'],
    'digits',
    {
      layers: initAll('digits', { kind: 'normal', std: 2 }).flatMap((l, i) => (i === 0 ? [l, l, l] : [l])),
      ...rate('sgd', 0.05),
    },
    { layers: inner('digits', {}).flatMap((l, i) => (i === 0 ? [l, l, l] : [l])), ...rate('sgd', 0.05), epochs: 30 },
  ),
  sick('forward_wrong', 'asker', { grad_bug: 'forward' }),
  sick('forward_wrong', 'plane', { grad_bug: 'forward' }),
  sick('gradient_sign', 'asker', { grad_bug: 'sign' }),
  sick('gradient_sign', 'plane', { grad_bug: 'sign' }),
  sick('gradient_wrong', 'ball', { grad_bug: 'missing_mean' }),
  sick('gradient_wrong', 'sine', { grad_bug: 'first_layer_half' }),
  sick(['input_scale', 'lr_too_high'], 'cancer', { preprocess: {}, batch: 32 }),
  sick(
    ['input_scale', 'lr_too_high', 'lr_above_one_step_limit'],
    'digits',
    { preprocess: {}, ...rate('sgd', 0.1) },
    rate('sgd', 0.1),
  ),
  sick(['input_scale', 'lr_too_low'], 'blobs', { preprocess: { x: { columns: [0.001, 0.001] } } }),
  sick('labels_shuffled', 'cancer', { preprocess: { x: 'standardise', y: 'shuffle' } }),
  sick('labels_shuffled', 'blobs', { preprocess: { y: 'shuffle' } }),
  sick('labels_shuffled', 'friedman', { preprocess: { x: 'standardise', y: 'shuffle' }, epochs: 20 }),
  sick('loss_broadcast', 'plane', { loss: 'mse_broadcast' }),
  sick('loss_broadcast', 'sine', { loss: 'mse_broadcast' }),
  sick(
    ['loss_mismatch', 'wrong_output_activation'],
    'digits',
    { loss: 'mse', layers: output('digits', 'softmax'), ...rate('sgd', 0.1), epochs: 10 },
    { ...rate('sgd', 0.1), epochs: 10 },
  ),
  sick(['loss_mismatch', 'wrong_output_activation'], 'friedman', {
    loss: 'bce',
    layers: output('friedman', 'sigmoid'),
    preprocess: { x: 'standardise' },
  }),
  sick(
    'loss_mismatch',
    'blobs',
    { loss: 'mse', layers: output('blobs', 'softmax'), ...rate('sgd', 0.01) },
    rate('sgd', 0.03),
  ),
  sick(['loss_reduction_sum', 'lr_too_high', 'lr_above_one_step_limit'], 'plane', { loss: 'sse' }),
  sick(
    ['loss_reduction_sum', 'lr_too_high', 'lr_above_one_step_limit', 'dead_relu'],
    'blobs',
    { loss: 'cce_sum', batch: null, epochs: 200 },
    { batch: null, epochs: 200 },
  ),
  sick(['lr_above_one_step_limit', 'lr_too_high'], 'asker', rate('sgd', 30)),
  sick(['lr_above_one_step_limit', 'lr_too_high'], 'plane', rate('sgd', 1.5)),
  sick('lr_too_high', 'ball', rate('adam', 1)),
  sick(['lr_too_high', 'dead_relu'], 'digits', rate('sgd', 5)),
  sick(['lr_too_high', 'dead_relu'], 'friedman', rate('sgd', 2)),
  sick('lr_too_low', 'asker', rate('sgd', 1e-4)),
  sick('lr_too_low', 'digits', rate('adam', 1e-6)),
  sick('lr_too_low', 'friedman', rate('adam', 3e-6)),
  sick(['minibatch_noise', 'lr_too_high'], 'blobs', { batch: 1, ...rate('sgd', 1.2) }),
  sick(['minibatch_noise', 'lr_too_high'], 'friedman', { batch: 1, ...rate('adam', 0.05) }),
  sick('missing_activation', 'ball', { layers: inner('ball', { act: 'linear' }) }),
  sick('missing_activation', 'sine', { layers: inner('sine', { act: 'linear' }) }),
  sick(
    'missing_bias',
    'friedman',
    {
      layers: [{ units: 1, act: 'linear', bias: false }],
      preprocess: { x: 'standardise', y: { offset: 0, scale: 0.2 } },
    },
    {
      layers: [{ units: 1, act: 'linear' }],
      preprocess: { x: 'standardise', y: { offset: 0, scale: 0.2 } },
      ...rate('adam', 0.05),
    },
  ),
  sick(
    'missing_bias',
    'ball',
    { layers: layersOf('ball', (l) => ({ ...l, bias: false, act: l.act === 'relu' ? 'tanh' : l.act })) },
    { layers: layersOf('ball', (l) => ({ ...l, act: l.act === 'relu' ? 'tanh' : l.act })) },
  ),
  sick(
    ['numerical_log_of_zero', 'lr_too_high', 'lr_above_one_step_limit'],
    'asker',
    { loss: 'bce_unclipped', ...rate('sgd', 20) },
    rate('sgd', 0.3),
  ),
  sick(['numerical_log_of_zero', 'bad_init_scale'], 'cancer', {
    loss: 'bce_unclipped',
    layers: initAll('cancer', { kind: 'normal', std: 10 }),
  }),
  sick('optimizer_eps', 'ball', rate('adam', 0.01, { epsilon: 100 })),
  sick('optimizer_eps', 'digits', rate('rmsprop', 0.001, { epsilon: 10 }), rate('rmsprop', 0.001)),
  sick('over_regularised', 'blobs', { l2: 3 }),
  sick('over_regularised', 'friedman', { layers: inner('friedman', { dropout: 0.97 }) }),
  sick('over_regularised', 'digits', rate('adamw', 0.001, { weightDecay: 100 })),
  sick('single_class_labels', 'cancer', { preprocess: { x: 'standardise', y: 'oneClass' } }),
  sick('single_class_labels', 'asker', { preprocess: { y: 'oneClass' } }),
  sick(
    ['target_scale', 'lr_too_high', 'lr_above_one_step_limit', 'dead_relu'],
    'friedman',
    { preprocess: { x: 'standardise', y: { scale: 1000 } }, ...rate('sgd', 0.02), epochs: 50 },
    rate('sgd', 0.02),
  ),
  sick(
    ['target_scale', 'lr_too_low', 'too_few_epochs'],
    'sine',
    { preprocess: { y: { scale: 500, offset: 3000 } } },
    { preprocess: { y: 'standardise' } },
  ),
  sick(['too_few_epochs', 'lr_too_low'], 'asker', { epochs: 2, ...rate('sgd', 0.05) }, rate('sgd', 0.05)),
  sick(['too_few_epochs'], 'digits', { epochs: 1, ...rate('adam', 0.0005) }),
  sick(['too_few_epochs'], 'sine', { epochs: 15 }),
  sick(
    'under_regularised',
    'noisy',
    { validation: 0.5, layers: net([128, 64], 'relu', 2, 'softmax', 'he_uniform'), epochs: 200 },
    { validation: 0.5, epochs: 20 },
  ),
  sick(
    'under_regularised',
    'rough',
    { validation: 0.5, layers: net([128, 64], 'relu', 1, 'linear', 'he_uniform'), epochs: 300 },
    { validation: 0.5, layers: net([], 'tanh', 1, 'linear'), ...rate('adam', 0.01), epochs: 100 },
  ),
  sick(
    'vanishing_gradient',
    'ball',
    { layers: net([16, 16, 16, 16, 16, 16], 'sigmoid', 1, 'sigmoid'), ...rate('sgd', 0.1), epochs: 80 },
    { layers: net([16, 16, 16, 16, 16, 16], 'relu', 1, 'sigmoid', 'he_normal'), ...rate('sgd', 0.1), epochs: 80 },
  ),
  sick(
    'vanishing_gradient',
    'digits',
    { layers: net([32, 32, 32, 32, 32], 'sigmoid', 10, 'softmax'), ...rate('sgd', 0.1) },
    { layers: net([32, 32, 32, 32, 32], 'relu', 10, 'softmax', 'he_normal'), ...rate('sgd', 0.1) },
  ),
  sick('wrong_output_activation', 'plane', { layers: output('plane', 'relu') }),
  sick('wrong_output_activation', 'cancer', { layers: output('cancer', 'softmax') }),
  sick('wrong_output_activation', 'friedman', { layers: output('friedman', 'sigmoid') }),
]

function healthy(name: string, on: Good, change: Partial<ProgramSpec> & { data?: Case['data'] } = {}): Case {
  const { data = GOOD[on].data, ...program } = change
  return {
    id: `healthy: ${name}`,
    data,
    program: { ...GOOD[on].program, ...program } as ProgramSpec,
    labels: [],
    fixed_program_overrides: null,
  }
}

export const HEALTHY: Case[] = [
  healthy('batch noise', 'blobs', { batch: 4 }),
  healthy('batches of one', 'plane', { batch: 1, ...rate('sgd', 0.01), epochs: 30 }),
  healthy('edge of stability, degree 4', 'sine', {
    data: { kind: 'chebyshev', degree: 4, n: 20 },
    layers: net([100], 'tanh', 1, 'linear'),
    loss: 'half_mse',
    ...rate('sgd', 0.4),
    epochs: 20000,
  }),
  healthy('edge of stability, degree 3', 'sine', {
    data: { kind: 'chebyshev', degree: 3, n: 20 },
    layers: net([100], 'tanh', 1, 'linear'),
    loss: 'half_mse',
    ...rate('sgd', 0.2),
    epochs: 10000,
  }),
  healthy('twenty rows', 'blobs', { data: { kind: 'blobs', n: 20, k: 4, d: 5, apart: 4 }, batch: null, epochs: 200 }),
  healthy('four rows', 'plane', {
    data: { kind: 'poly4' },
    layers: net([], 'tanh', 1, 'linear'),
    ...rate('sgd', 0.02),
    epochs: 3000,
  }),
  healthy('one class in twenty', 'blobs', {
    data: { kind: 'blobs', k: 2, n: 400, d: 4, apart: 4 },
    layers: net([16], 'relu', 2, 'softmax', 'he_uniform'),
  }),
  healthy('overlapping classes', 'blobs', {
    data: { kind: 'blobs', k: 2, n: 400, d: 4, apart: 1 },
    layers: net([8], 'tanh', 2, 'softmax'),
    epochs: 60,
  }),
  healthy('a long plateau', 'ball', {
    data: { kind: 'ball', d: 2 },
    layers: net([16, 16], 'tanh', 1, 'sigmoid'),
    batch: null,
    ...rate('sgd', 0.3),
    epochs: 4000,
  }),
  healthy('adam, full batch', 'cancer', { ...rate('adam', 0.01) }),
  healthy('adam at a tenth', 'asker', { ...rate('adam', 0.02), epochs: 100 }),
  healthy('dropout', 'digits', { layers: inner('digits', { dropout: 0.3 }), epochs: 30 }),
  healthy('dropout of a half', 'cancer', {
    layers: inner('cancer', { dropout: 0.5 }),
    ...rate('adam', 0.01),
    batch: 32,
    epochs: 40,
  }),
  healthy('momentum', 'cancer', { ...rate('sgd', 0.05, { momentum: 0.9 }) }),
  healthy('nesterov', 'digits', { ...rate('sgd', 0.02, { momentum: 0.9, nesterov: true }) }),
  healthy('rmsprop', 'sine', { ...rate('rmsprop', 0.003) }),
  healthy('a little l2', 'digits', { l2: 1e-4 }),
  healthy('noise in a regression', 'plane', {
    data: { kind: 'friedman', n: 500 },
    preprocess: { x: 'standardise', y: 'standardise' },
    layers: net([16], 'tanh', 1, 'linear'),
  }),
  healthy('digits as bytes over 255, sgd', 'digits', { ...rate('sgd', 0.1), epochs: 25 }),
  healthy('sum of squares at a rate that allows it', 'plane', { loss: 'sse', ...rate('sgd', 0.0003) }),
  healthy('a line', 'plane', { layers: net([], 'tanh', 1, 'linear') }),
]

/** The open cases that can be run in time; the edge of stability stands among the healthy ones. */
export const OPEN: Case[] = (open.cases as unknown as Case[]).filter(({ runnable }) => runnable)
