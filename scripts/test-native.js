/**
 * Builds the C++ core with its tests (test/native/*.cc), without Node, and runs them. Sources and flags are the addon's,
 * assertions on.
 *
 *     node scripts/test-native.js [--sanitize address | thread] [--no-run] [word …]
 *
 * Runs the tests whose names contain a word, or all; and where all, those of the products again on each of OpenBLAS' kernels
 * that this CPU runs, since some of them are refused for some products, and say so. --sanitize: `address` stands for AddressSanitizer and
 * UndefinedBehaviorSanitizer, without suppressions; `thread` for ThreadSanitizer, which cannot see into OpenBLAS, so
 * that build runs on its own loops. Objects are kept in build/core, by flags; only what is older than a source or a
 * header is compiled again.
 */
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { root, run, runAll, compiler } = require('./tools')
const { openblasNow } = require('./openblas')
const recipe = require('./recipe')

/** Flags by sanitizer; -O1 keeps their stacks readable. */
const sanitizers = {
  none: [],
  address: [
    '-O1',
    '-g',
    '-fno-omit-frame-pointer',
    '-fsanitize=address,undefined',
    '-fno-sanitize=object-size',
    '-fno-sanitize-recover=undefined',
  ],
  thread: ['-O1', '-g', '-fno-omit-frame-pointer', '-fsanitize=thread'],
}

/** @param {string} folder @param {string} ending */
const filesIn = (folder, ending) =>
  fs
    .readdirSync(path.join(root, folder))
    .filter((name) => name.endsWith(ending))
    .map((name) => path.join(folder, name))

/** @param {string} file */
const timeOf = (file) => (fs.existsSync(file) ? fs.statSync(file).mtimeMs : 0)

/**
 * @param {keyof typeof sanitizers} sanitizer
 * @returns {Promise<string | null>} the program, or null if it does not compile
 */
async function build(sanitizer) {
  openblasNow()
  const cxx = /** @type {string} */ (compiler())
  const withBlas = sanitizer !== 'thread'
  const folder = path.join(root, 'build', 'core', sanitizer)
  fs.mkdirSync(folder, { recursive: true })
  const flags = [
    ...recipe.cflags(),
    ...sanitizers[sanitizer],
    ...(withBlas ? recipe.coreDefines() : []).map((define) => `-D${define}`),
    ...['native', 'test/native'].map((include) => `-I${include}`),
  ]
  const flagsFile = path.join(folder, 'flags')
  const isSame = fs.existsSync(flagsFile) && fs.readFileSync(flagsFile, 'utf8') === flags.join('\n')
  const headers = [...filesIn('native', '.h'), ...filesIn('test/native', '.h')]
  const newest = isSame ? Math.max(...headers.map((header) => timeOf(path.join(root, header)))) : Number.MAX_VALUE
  const sources = [...recipe.coreSources(), ...filesIn('test/native', '.cc')]
  const objects = sources.map((source) => path.join(folder, `${source.replaceAll(/[\\/]/g, '-')}.o`))
  const commands = sources.flatMap((source, i) => {
    const isFresh = timeOf(objects[i]) > Math.max(newest, timeOf(path.join(root, source)))
    return isFresh ? [] : [[cxx, ...flags, '-c', source, '-o', objects[i]]]
  })
  const compiled = await runAll(commands)
  if (!compiled.ok || compiled.log.includes('warning:')) process.stderr.write(compiled.log)
  if (!compiled.ok) return null
  fs.writeFileSync(flagsFile, flags.join('\n'))
  const program = path.join(folder, 'test')
  const link = [...objects, ...sanitizers[sanitizer], ...recipe.ldflags(), ...(withBlas ? recipe.libraries() : [])]
  // A sanitizer brings a library of its own that wants the shared C++ library beside it.
  const args = sanitizer === 'none' ? link : link.filter((flag) => flag !== '-static-libstdc++')
  const linked = run(cxx, [...args, '-o', program])
  if (!linked.ok) process.stderr.write(linked.log)
  return linked.ok ? program : null
}

/** OpenBLAS' kernels, by what they need of the CPU. Prescott's is what every x86-64 has. */
const KERNELS = { Prescott: [], Sandybridge: ['avx'], Haswell: ['avx2', 'fma'] }

/** Words in the names of tests that let BLAS multiply. */
const PRODUCTS = 'blas products Layer gradientsOf aRowHas bitsDoNot whatComes notANumber'.split(' ')

/** Those of KERNELS that there are here. */
function kernelsHere() {
  if (process.platform !== 'linux' || process.arch !== 'x64' || recipe.coreDefines().length === 0) return []
  const flags = /^flags\s*: (.*)$/m.exec(fs.readFileSync('/proc/cpuinfo', 'utf8'))?.[1].split(' ') ?? []
  return Object.entries(KERNELS).flatMap(([name, needs]) => (needs.every((need) => flags.includes(need)) ? [name] : []))
}

/** Runs the program; a failure is that of this script. @param {string} program @param {string[]} words */
function test(program, words, env = {}) {
  const { status } = spawnSync(program, words, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  if (status !== 0) process.exitCode = status ?? 1
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { sanitize: { type: 'string', default: 'none' }, 'no-run': { type: 'boolean', default: false } },
  })
  const sanitizer = values.sanitize
  if (sanitizer !== 'none' && sanitizer !== 'address' && sanitizer !== 'thread') {
    throw new Error('--sanitize takes address or thread')
  }
  const program = await build(sanitizer)
  if (program === null) {
    process.exitCode = 1
  } else if (!values['no-run']) {
    test(program, positionals)
    if (positionals.length > 0 || sanitizer !== 'none') return
    for (const kernels of kernelsHere())
      test(program, PRODUCTS, { OPENBLAS_CORETYPE: kernels, DOWNHILL_PRODUCTS: 'blas' })
  }
}

if (require.main === module) main()

module.exports = { sanitizers }
