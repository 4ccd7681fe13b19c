/**
 * The addon under the sanitizers, in Node: builds it with AddressSanitizer and UndefinedBehaviorSanitizer (or with
 * ThreadSanitizer) into build/addon, and runs on it the tests of the border and of runs, endings in mid-fit among them,
 * and fits of every kind in a process that ends as it should, after which nothing may be lost.
 *
 *     node scripts/test-addon.js --sanitize address | thread [test file …]
 *
 * Node itself is not instrumented: the sanitizer's library is preloaded, into every process that a test starts too.
 * Without suppressions: a list that forgives what comes through node forgives what is ours. TypeScript is compiled
 * beforehand, so that no compiler runs under the sanitizer.
 *
 * ThreadSanitizer cannot see into OpenBLAS: that build runs on its own loops. Nor can it see how V8's threads and Node's
 * workers keep apart, and reports them: so its reports go to files, all are counted, and those with a frame of ours fail.
 * It has the fits alone: it forgets which library a handler of atexit is of, so that a process ends in a jump to
 * nowhere where a worker was the only one to load the addon, as in the tests of endings.
 */
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { root, run, runAll, compiler, folderOf } = require('./tools')
const { openblasNow } = require('./openblas')
const recipe = require('./recipe')
const { sanitizers } = require('./test-native')

const libraries = { address: 'libasan.so', thread: 'libtsan.so' }
/** What LeakSanitizer looks at: where a process leaves in mid-fit, as tests do, V8 leaves its own heap behind. */
const FITS = 'test/long/fits.ts'
const TESTS = { address: ['test/native.test.ts', 'test/run.test.ts', FITS], thread: [FITS] }

/** Seconds a file may take: those of the suite, and a sanitizer makes it several times as slow. Alone, tap allows 30. */
const TIMEOUT = 4 * require('../package.json').tap.timeout

/** @typedef {keyof typeof libraries} Sanitizer */

/** @param {Sanitizer} sanitizer @returns {Promise<string | null>} the addon, or null if it does not compile */
async function build(sanitizer) {
  openblasNow()
  const cxx = /** @type {string} */ (compiler())
  const withBlas = sanitizer !== 'thread'
  const folder = path.join(root, 'build', 'addon', sanitizer)
  fs.mkdirSync(folder, { recursive: true })
  const flags = [
    ...recipe.cflags(),
    ...sanitizers[sanitizer],
    ...['NAPI_VERSION=8', ...(withBlas ? recipe.coreDefines() : [])].map((define) => `-D${define}`),
    ...[...recipe.includes(), ...recipe.nodeHeaders()].map((include) => `-I${include}`),
  ]
  const sources = recipe.sources()
  const objects = sources.map((source) => path.join(folder, `${path.basename(source)}.o`))
  const compiled = await runAll(sources.map((source, i) => [cxx, ...flags, '-c', source, '-o', objects[i]]))
  if (!compiled.ok) process.stderr.write(compiled.log)
  if (!compiled.ok) return null
  const file = path.join(folder, 'downhill.node')
  // A sanitizer brings a library of its own that wants the shared C++ library beside it.
  const shared = recipe.ldflags().filter((flag) => flag !== '-static-libstdc++')
  const blas = withBlas ? recipe.libraries() : []
  const link = [...shared, ...sanitizers[sanitizer], ...recipe.addonLdflags(), ...blas]
  const linked = run(cxx, [...objects, ...link, '-o', file])
  if (!linked.ok) process.stderr.write(linked.log)
  return linked.ok ? file : null
}

/** The tests as JavaScript, in a folder of this repository, where `downhill` and dist/ are found. @param {string[]} files */
function compile(files) {
  const out = path.join(root, 'build', 'addon', 'tests')
  fs.mkdirSync(out, { recursive: true })
  const dist = path.join(out, 'dist')
  if (!fs.existsSync(dist)) fs.symlinkSync(path.relative(out, path.join(root, 'dist')), dist)
  const tsc = path.join(folderOf('typescript'), 'bin', 'tsc')
  const options = ['--module', 'node16', '--moduleResolution', 'node16', '--target', 'es2022', '--lib', 'es2023']
  const more = ['--types', 'node', '--esModuleInterop', '--resolveJsonModule', '--skipLibCheck', '--noCheck']
  const done = run(process.execPath, [tsc, ...options, ...more, '--rootDir', root, '--outDir', out, ...files])
  if (!done.ok) process.stderr.write(done.log)
  return done.ok ? files.map((file) => path.join(out, file.replace(/\.ts$/, '.js'))) : null
}

/** How files of reports begin. */
const REPORT = 'report'

/** @param {string} folder */
const reportsIn = (folder) =>
  fs.readdirSync(folder).flatMap((name) => (name.startsWith(`${REPORT}.`) ? [path.join(folder, name)] : []))

/** Tells of ThreadSanitizer's reports; those of our code fail. @param {string} folder */
function judge(folder) {
  const reports = reportsIn(folder).flatMap((file) => fs.readFileSync(file, 'utf8').split(/^={18}$/m))
  const all = reports.filter((report) => report.includes('WARNING: ThreadSanitizer'))
  const ours = all.filter((report) => /downhill\.node|native\/\w+\.(cc|h)/.test(report))
  process.stdout.write(`${all.length} reports, ${ours.length} of them with a frame of ours\n`)
  process.stderr.write(ours.join(''))
  if (ours.length > 0) process.exitCode = 1
}

async function main() {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { sanitize: { type: 'string' } } })
  const sanitizer = /** @type {Sanitizer} */ (values.sanitize)
  if (!(sanitizer in libraries)) throw new Error('--sanitize takes address or thread')
  const cxx = compiler()
  const addon = cxx && (await build(sanitizer))
  const tests = compile(positionals.length > 0 ? positionals : TESTS[sanitizer])
  if (!cxx || !addon || !tests) {
    process.exitCode = 1
    return
  }
  const library = run(cxx, [`-print-file-name=${libraries[sanitizer]}`]).out.trim()
  const env = {
    ...process.env,
    DOWNHILL_ADDON: addon,
    TAP_TIMEOUT: String(TIMEOUT),
    LD_PRELOAD: library,
    ASAN_OPTIONS: '',
    // Node makes its own threads and joins them as it likes; only what is reported of accesses counts.
    TSAN_OPTIONS: `report_thread_leaks=0:exitcode=0:log_path=${path.join(path.dirname(addon), REPORT)}`,
  }
  for (const file of reportsIn(path.dirname(addon))) fs.rmSync(file)
  for (const test of tests) {
    env.ASAN_OPTIONS = `detect_leaks=${path.basename(test, '.js') === path.basename(FITS, '.ts') ? 1 : 0}`
    const { status, signal } = spawnSync(process.execPath, ['--expose-gc', test], { cwd: root, env, stdio: 'inherit' })
    if (status !== 0) process.stderr.write(`${path.basename(test)}: ended with ${signal ?? status}\n`)
    if (status !== 0) process.exitCode = 1
  }
  if (sanitizer === 'thread') judge(path.dirname(addon))
}

main()
