/**
 * The package on other machines: a tarball installed in an empty folder without a compiler, and the ladder of builders
 * on machines that lack one tool after another. Each machine is a PATH with a few programs on it.
 *
 *     npm run test:packaging        some four minutes on two cores
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { which } from '../../scripts/tools'

// Run by itself it has tap's half minute, which ends when the first copy of the repository is at work.
t.setTimeout(20 * 60_000)

const root = path.join(__dirname, '..', '..')
const scratch = mkdtempSync(path.join(tmpdir(), 'downhill-packaging-'))
t.teardown(() => rmSync(scratch, { recursive: true, force: true }))

// ---- Machines ------------------------------------------------------------------------------------------------------

const machine = {
  bare: ['node', 'npm', 'sh'],
  compiler: ['g++', 'as', 'ld', 'ar', 'nm', 'objcopy', 'strip'],
  python: ['python3'],
  make: ['make', 'rm', 'mkdir', 'cp', 'ln', 'touch', 'sed', 'printf', 'cat', 'echo', 'dirname'],
  cmake: ['cmake', 'ninja'],
}

/** A folder with links to these programs, for a PATH with nothing else. */
function pathOf(...parts: (keyof typeof machine)[]): string {
  const folder = path.join(scratch, `path-${parts.join('-')}`)
  if (existsSync(folder)) return folder
  mkdirSync(folder)
  for (const program of parts.flatMap((part) => machine[part])) {
    // A python3 on the PATH may be a script that looks for another one; the one that runs is meant.
    const file = program === 'python3' ? python() : which(program)
    if (file) symlinkSync(file, path.join(folder, program))
  }
  return folder
}

function python(): string {
  return spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).stdout.trim()
}

function run(program: string, args: string[], cwd: string, env: Record<string, string | undefined> = {}) {
  const base = { ...process.env, CI: '', OPENBLAS_CORETYPE: undefined, OPENBLAS_L2_SIZE: undefined, ...env }
  // npm and tap describe their own run in these; a user's shell has none of them.
  const own = /^(npm_|TAP|NODE_OPTIONS|DOWNHILL_)/
  const clean = Object.fromEntries(Object.entries(base).filter(([name]) => !own.test(name) || name in env))
  const { stdout, stderr, status } = spawnSync(program, args, { cwd, env: clean, encoding: 'utf8' })
  return { stdout, stderr, status, all: `${stdout}${stderr}` }
}

const node = (script: string, cwd: string, env = {}) => run(process.execPath, ['-e', script], cwd, env)

const ask = `
  const { FNN, backendInfo } = require('downhill')
  const net = new FNN({ inputs: 2, outputs: 1, task: 'binary', seed: 1 })
  const history = net.fitSync([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], { epochs: 5 })
  console.log(JSON.stringify({ ...backendInfo(), epochs: history.loss.length }))
`

// ---- From a tarball ------------------------------------------------------------------------------------------------

/** An empty project with the packed downhill installed in it, on a machine with node and npm only. */
function installed(name: string, ...flags: string[]) {
  const folder = path.join(scratch, name)
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true }\n')
  const npm = run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', ...flags, tarball], folder, {
    PATH: pathOf('bare'),
  })
  return { folder, npm }
}

let tarball = ''
t.before(() => {
  const packed = run('npm', ['pack', '--pack-destination', scratch], root)
  tarball = path.join(scratch, packed.stdout.trim().split('\n').at(-1) ?? '')
  if (!existsSync(tarball)) throw new Error(packed.all)
})

t.test('installed without a compiler: native', (t) => {
  for (const [name, flags] of [
    ['plain', []],
    ['without scripts', ['--ignore-scripts']],
  ] as const) {
    const { folder, npm } = installed(name, ...flags)
    t.equal(npm.status, 0, npm.all)
    const { stdout, stderr } = node(ask, folder, { PATH: pathOf('bare') })
    const said = JSON.parse(stdout)
    t.equal(said.name, 'native', name)
    t.match(said.blas, /^OpenBLAS .* serial /)
    t.match(said.path, /prebuilds/)
    t.equal(said.epochs, 5)
    t.equal(stderr, '', 'and nothing to say about it')
  }
  t.end()
})

t.test('installed without a prebuilt addon: TypeScript, and one line', (t) => {
  const { folder } = installed('without prebuild')
  rmSync(path.join(folder, 'node_modules', 'downhill', 'prebuilds'), { recursive: true })
  const { stdout, stderr } = node(ask, folder)
  const said = JSON.parse(stdout)
  t.equal(said.name, 'typescript')
  t.equal(said.epochs, 5)
  t.equal(stderr.trim().split('\n').length, 1, stderr)
  t.match(stderr, /^downhill: .*TypeScript/)
  t.end()
})

t.test('types are right for import and for require', (t) => {
  const { folder } = installed('types')
  const use = `import { FNN, DownhillError, backendInfo } from 'downhill'
    const net: FNN = new FNN({ inputs: 2, outputs: 1, task: 'binary' })
    const loss: number = net.loss([[0, 1]], [1])
    export const name: 'native' | 'typescript' = backendInfo().name
    export { loss, DownhillError }
  `
  for (const file of ['use.mts', 'use.cts']) writeFileSync(path.join(folder, file), use)
  for (const types of ['node_modules/@types', 'node_modules/undici-types'])
    cpSync(path.join(root, types), path.join(folder, types), { recursive: true })
  const strict = ['--strict', '--noEmit', '--module', 'node16', '--target', 'es2022', '--types', 'node']
  const tsc = run(
    process.execPath,
    [which('tsc') ?? `${root}/node_modules/.bin/tsc`, ...strict, 'use.mts', 'use.cts'],
    folder,
  )
  t.equal(tsc.status, 0, tsc.all)
  t.end()
})

// ---- The ladder ----------------------------------------------------------------------------------------------------

/** A checkout with its packages, and with the OpenBLAS that was found already. */
function checkout(name: string): string {
  const folder = path.join(scratch, name)
  mkdirSync(folder)
  const files = run('git', ['ls-files', 'native', 'scripts', 'lib', '*.gyp', 'CMakeLists.txt', '*.json'], root).stdout
  for (const file of files
    .trim()
    .split('\n')
    .filter((name) => existsSync(path.join(root, name))))
    cpSync(path.join(root, file), path.join(folder, file))
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'))
  mkdirSync(path.join(folder, 'build', 'openblas'), { recursive: true })
  const record = path.join('build', 'openblas', 'openblas.json')
  if (existsSync(path.join(root, record))) cpSync(path.join(root, record), path.join(folder, record))
  return folder
}

const prepare = (folder: string, env: Record<string, string>) =>
  run(process.execPath, ['scripts/prepare.js'], folder, env)

/** What a machine lacks, and which builder serves it. */
const rungs = [
  { lacks: 'nothing', parts: ['bare', 'compiler', 'python', 'make', 'cmake'], builder: 'node-gyp' },
  { lacks: 'python3', parts: ['bare', 'compiler', 'make', 'cmake'], builder: 'cmake-js' },
  { lacks: 'python3 and cmake', parts: ['bare', 'compiler', 'make'], builder: 'plain' },
  { lacks: 'all but g++', parts: ['bare', 'compiler'], builder: 'plain' },
] as const

for (const { lacks, parts, builder } of rungs) {
  t.test(`a machine that lacks ${lacks} builds with ${builder}`, (t) => {
    const folder = checkout(`rung-${parts.join('-')}`)
    const { status, stdout, stderr } = prepare(folder, { PATH: pathOf(...parts) })
    t.equal(status, 0, stderr)
    t.match(stdout, new RegExp(`^downhill: native addon built with ${builder} in .*OpenBLAS`), stdout)
    t.equal(stdout.trim().split('\n').length, 1, 'one line')
    t.equal(JSON.parse(node(ask, folder).stdout).name, 'native')
    t.end()
  })
}

t.test('a machine without a compiler: one line, no error, TypeScript', (t) => {
  const folder = checkout('no-compiler')
  const { status, stdout, stderr } = prepare(folder, { PATH: pathOf('bare', 'python', 'make', 'cmake') })
  t.equal(status, 0, stderr)
  t.match(stdout, /^downhill: no native addon was built, for want of a C\+\+ compiler.*\n$/)
  t.equal(JSON.parse(node(ask, folder).stdout).name, 'typescript')
  t.end()
})

// ---- OpenBLAS ------------------------------------------------------------------------------------------------------

/** A libopenblas.a of our own making, in a folder; what it answers and how it multiplies is `body`. */
function fakeOpenblas(name: string, parallel: number, body: string): string {
  const folder = path.join(scratch, name)
  mkdirSync(folder)
  const source = `
    int openblas_get_parallel(void) { return ${parallel}; }
    char* openblas_get_corename(void) { return (char*)"Fake"; }
    char* openblas_get_config(void) { return (char*)"OpenBLAS 9.9.9 DYNAMIC_ARCH"; }
    void* blas_memory_alloc(int i) { return (void*)0; }
    void blas_memory_free(void* p) {}
    void cblas_sgemm(int order, int tA, int tB, int m, int n, int k, float alpha, const float* A, int lda,
                     const float* B, int ldb, float beta, float* C, int ldc) {
      for (int i = 0; i < m; ++i) for (int j = 0; j < n; ++j) {
        float sum = 0;
        for (int l = 0; l < k; ++l) sum += (tA == 112 ? A[l*lda+i] : A[i*lda+l]) * (tB == 112 ? B[j*ldb+l] : B[l*ldb+j]);
        C[i*ldc+j] = alpha * sum + (beta == 0 ? 0 : beta * C[i*ldc+j]);
      }
      ${body}
    }
  `
  writeFileSync(path.join(folder, 'fake.c'), source)
  run('gcc', ['-O1', '-fPIC', '-c', 'fake.c'], folder)
  run('ar', ['rcs', 'libopenblas.a', 'fake.o'], folder)
  return folder
}

/** What openblas.js says where apt has no network, on a machine with a compiler. */
function looked(folder: string, env: Record<string, string>) {
  const nowhere = 'http://127.0.0.1:9'
  const { stdout, stderr } = run(process.execPath, ['scripts/openblas.js'], folder, {
    http_proxy: nowhere,
    https_proxy: nowhere,
    ...env,
  })
  return stdout === '' ? stderr : (JSON.parse(stdout) as { name: string; origin: string; notes: string[] })
}

t.test('OPENBLAS_DIR is taken if it is serial and right', (t) => {
  const folder = checkout('openblas-dir')
  const OPENBLAS_DIR = fakeOpenblas('right', 0, '')
  t.match(looked(folder, { OPENBLAS_DIR }), { name: 'OpenBLAS 9.9.9', origin: `OPENBLAS_DIR ${OPENBLAS_DIR}` })
  t.end()
})

t.test('a threaded or wrong OpenBLAS is passed over with a line', (t) => {
  const folder = checkout('openblas-refused')
  const refused = [
    { OPENBLAS_DIR: fakeOpenblas('threaded', 1, ''), why: /has threads of its own/ },
    { OPENBLAS_DIR: fakeOpenblas('wrong', 0, 'if (m > 32 && n > 32) C[ldc + 5] += 0.01f;'), why: /multiplies wrongly/ },
    { OPENBLAS_DIR: fakeOpenblas('beside', 0, 'if (n > 1) C[n] = 0;'), why: /multiplies wrongly/ },
    { OPENBLAS_DIR: path.join(scratch, 'nowhere'), why: /has no libopenblas\.a/ },
  ]
  for (const { OPENBLAS_DIR, why } of refused) {
    const found = looked(folder, { OPENBLAS_DIR })
    t.match(found, { notes: [why] })
    t.not((found as { name: string }).name, 'OpenBLAS 9.9.9')
  }
  t.end()
})

t.test('without network: its own loops, and a line that says so', (t) => {
  const folder = checkout('no-network')
  rmSync(path.join(folder, 'build'), { recursive: true })
  const nowhere = 'http://127.0.0.1:9'
  const started = Date.now()
  const { status, stdout } = prepare(folder, { http_proxy: nowhere, https_proxy: nowhere, CXX: 'g++' })
  t.equal(status, 0)
  t.match(stdout, /^downhill: native addon built with .*, its own loops for products; .*could not be fetched/, stdout)
  t.ok(Date.now() - started < 120_000, 'soon')
  t.match(JSON.parse(node(ask, folder).stdout), { name: 'native', blas: 'none' })
  t.end()
})

t.test('fetched by somebody who is not root', { skip: rootless() }, (t) => {
  const folder = checkout('not-root')
  rmSync(path.join(folder, 'build'), { recursive: true })
  run('chown', ['-R', 'nobody', folder, scratch], scratch)
  run('chmod', ['755', scratch], scratch)
  const as = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, 'scripts/openblas.js']
  const { stdout, all } = run('setpriv', as, folder, { HOME: folder })
  const found = JSON.parse(stdout || 'null')
  t.match(found, { name: /^OpenBLAS \d/, sha256: /^[0-9a-f]{64}$/ }, all)
  t.end()
})

function rootless(): string | false {
  if (process.getuid?.() !== 0) return 'only root can become another user'
  return which('setpriv') && which('apt-get') ? false : 'no apt here'
}
