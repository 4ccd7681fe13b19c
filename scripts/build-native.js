/**
 * Builds the addon into build/Release/downhill.node with the first builder that this machine has all parts of:
 *
 *   node-gyp   needs python3, make, a C++ compiler and Node's headers beside node (it would download them)
 *   cmake-js   needs cmake, make or ninja, and a C++ compiler
 *   plain      needs a C++ compiler, and calls it itself, with the same list of sources and flags
 *
 *     node scripts/build-native.js [--with node-gyp | cmake-js | plain] [--to FILE]
 *
 * Prints one line: what was built, or why nothing was. With --with, a failure ends with exit code 1; without, nothing
 * does, since downhill runs without its addon. Everything the tools said is in build/native.log.
 */
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { root, which, run, runAll, compiler, folderOf, has } = require('./tools')
const { openblasNow } = require('./openblas')
const recipe = require('./recipe')

const target = path.join(root, 'build', 'Release', 'downhill.node')
const jobs = String(os.availableParallelism())

/**
 * A builder says what it lacks (nothing: null), and builds. Both run from the repository's root.
 * @typedef {{ ok: boolean, log: string, file: string }} Built
 * @typedef {{ name: string, lacks: () => string | null, build: () => Built | Promise<Built> }} Builder
 */

/** @type {Builder[]} */
const builders = [
  {
    name: 'node-gyp',
    lacks: () => {
      if (!which('python3', 'python')) return 'python3'
      if (!which('make')) return 'make'
      if (!nodeFolder()) return "Node's headers"
      return has('node-gyp') ? null : 'node-gyp'
    },
    build: () => {
      const program = path.join(folderOf('node-gyp'), 'bin', 'node-gyp.js')
      const args = ['configure', 'build', `--nodedir=${nodeFolder()}`, '--jobs', jobs]
      return { ...run(process.execPath, [program, ...args]), file: target }
    },
  },
  {
    name: 'cmake-js',
    lacks: () => {
      if (!which('cmake')) return 'cmake'
      if (!which('make', 'ninja')) return 'make'
      return has('cmake-js') ? null : 'cmake-js'
    },
    build: () => {
      const program = path.join(folderOf('cmake-js'), 'bin', 'cmake-js')
      const out = path.join(root, 'build', 'cmake')
      // Configured each time, since what the recipe says may have changed: another OpenBLAS, or none.
      const steps = ['configure', 'build'].map((step) => [program, step, '--out', out, '--parallel', jobs])
      let log = ''
      const ok = steps.every((step) => {
        const done = run(process.execPath, step)
        log += done.log
        return done.ok
      })
      return { ok, log, file: path.join(out, 'Release', 'downhill.node') }
    },
  },
  {
    name: 'plain',
    lacks: () => (has('node-api-headers') ? null : 'the headers of N-API'),
    build: async () => {
      const folder = path.join(root, 'build', 'plain')
      const file = path.join(folder, 'downhill.node')
      fs.mkdirSync(folder, { recursive: true })
      const cxx = /** @type {string} */ (compiler())
      const flags = [
        ...recipe.cflags(),
        ...recipe.defines().map((define) => `-D${define}`),
        ...[...recipe.includes(), ...recipe.nodeHeaders()].map((include) => `-I${include}`),
      ]
      const sources = recipe.sources()
      const objects = sources.map((source) => path.join(folder, `${path.basename(source)}.o`))
      const compiled = await runAll(sources.map((source, i) => [cxx, ...flags, '-c', source, '-o', objects[i]]))
      if (!compiled.ok) return { ...compiled, file }
      const link = [...recipe.ldflags(), ...recipe.addonLdflags(), ...recipe.libraries()]
      const linked = run(cxx, [...objects, ...link, '-o', file])
      return { ok: linked.ok, log: compiled.log + linked.log, file }
    },
  },
]

/** Where include/node lies with what node-gyp reads: beside node, as its archives and packages put it. */
function nodeFolder() {
  const folders = [process.env.npm_config_nodedir, path.resolve(process.execPath, '..', '..')]
  return folders.find((folder) => folder && fs.existsSync(path.join(folder, 'include', 'node', 'common.gypi')))
}

/**
 * @param {{ only?: string, to?: string }} [options] one builder by name; where the addon goes
 * @returns {Promise<boolean>} whether an addon was built
 */
async function buildNative({ only, to = target } = {}) {
  const chosen = builders.filter(({ name }) => only === undefined || name === only)
  if (chosen.length === 0) return say(`there is no builder ${only}, only ${builders.map((b) => b.name).join(', ')}`)
  const logFile = path.join(root, 'build', 'native.log')
  fs.mkdirSync(path.dirname(logFile), { recursive: true })
  fs.writeFileSync(logFile, '')
  const started = Date.now()
  const lacking = chosen.map(({ lacks }) => (compiler() ? lacks() : 'a C++ compiler'))
  if (lacking.every((lack) => lack !== null)) {
    return say(`no native addon was built, for want of ${lacking.at(-1)}; the TypeScript backend will run`)
  }
  const blas = openblasNow()
  fs.appendFileSync(logFile, `${JSON.stringify(blas, null, 2)}\n`)
  for (const builder of chosen.filter((_, i) => lacking[i] === null)) {
    const built = await builder.build()
    fs.appendFileSync(logFile, built.log)
    const problem = built.ok ? unloadable(built.file) : 'failed'
    if (problem === null) {
      install(built.file, to)
      const seconds = ((Date.now() - started) / 1000).toFixed(0)
      return say(`native addon built with ${builder.name} in ${seconds} s, ${products(blas)}`, true)
    }
    fs.appendFileSync(logFile, `${builder.name}: ${problem}\n`)
    fs.rmSync(built.file, { force: true })
  }
  return say('no native addon could be built (see build/native.log); the TypeScript backend will run')
}

/** @param {import('./openblas').Found} blas */
function products(blas) {
  if (blas.name === 'none') return ['its own loops for products', ...blas.notes].join('; ')
  return `products by ${blas.name}${blas.origin && ` (${blas.origin})`}`
}

/** Why Node cannot load an addon, asked of another process; null where it can. @param {string} file */
function unloadable(file) {
  const loaded = run(process.execPath, ['-e', 'require(process.argv[1])', file], { seconds: 60 })
  return loaded.ok ? null : loaded.log
}

/** Replaces the old file and does not write into it: a process may be running on it. @param {string} from @param {string} to */
function install(from, to) {
  if (from === to) return
  fs.mkdirSync(path.dirname(to), { recursive: true })
  const next = `${to}.new`
  fs.copyFileSync(from, next)
  fs.renameSync(next, to)
}

/** @param {string} text @param {boolean} [result] */
function say(text, result = false) {
  process.stdout.write(`downhill: ${text}\n`)
  return result
}

if (require.main === module) {
  const { values } = parseArgs({ options: { with: { type: 'string' }, to: { type: 'string' } } })
  buildNative({ only: values.with, to: values.to && path.resolve(values.to) }).then((built) => {
    if (!built && values.with) process.exitCode = 1
  })
}

module.exports = { buildNative, target }
