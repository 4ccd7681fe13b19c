/**
 * Finds a serial OpenBLAS to link into the addon, in this order:
 *
 *   1. OPENBLAS_DIR, a folder with libopenblas.a in it or in its lib/ ('none': build without)
 *   2. Debian's or Ubuntu's libopenblas-serial-dev, installed or fetched without root
 *   3. a libopenblas.a that the compiler finds by itself
 *   4. Apple's Accelerate
 *   5. none: the addon runs on its own loops
 *
 * Refused: a build of OpenBLAS with threads of its own. Its fork handler ends the pool in mid-product, which hangs Node
 * in child_process, and its bits depend on the number of threads. So each candidate is linked into a small program
 * that asks it. And a shared library: native/blas.cc could not stand between it and its environment and allocator,
 * without which several threads in one serial OpenBLAS get wrong products.
 *
 * No error ends here: whatever goes wrong is a sentence in `notes`, and the next place is tried. The answer is kept in
 * build/openblas/openblas.json, so that a later build fetches nothing.
 *
 *     node scripts/openblas.js        looks again and prints the answer
 */
const crypto = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { root, which, run, compiler } = require('./tools')

/**
 * @typedef {object} Found
 * @property {string} name     for people: 'OpenBLAS 0.3.21', 'none'
 * @property {string} origin   where it came from, '' for none
 * @property {string} [sha256] of the package fetched
 * @property {string[]} defines
 * @property {string[]} link   files and flags, last in a link
 * @property {string[]} notes  what was passed over, and why
 */

const kept = path.join(root, 'build', 'openblas')
const record = path.join(kept, 'openblas.json')
const debianPackage = 'libopenblas-serial-dev'
const notListed = 'no package list names it'

/** The kept answer if it still holds, else a new one. @returns {Found} */
function openblas() {
  if (asks() === 'none') return none([])
  try {
    const { keptFor, ...found } = JSON.parse(fs.readFileSync(record, 'utf8'))
    const files = found.link.filter(path.isAbsolute)
    if (keptFor === key() && files.every(fs.existsSync)) return found
  } catch {
    // none kept yet
  }
  return lookAgain()
}

/** Like `openblas`, but where the kept answer is 'none', another look is taken. @returns {Found} */
function openblasNow() {
  const found = openblas()
  return found.name === 'none' ? lookAgain() : found
}

/** @returns {Found} */
function lookAgain() {
  if (asks() === 'none') return none([])
  fs.mkdirSync(kept, { recursive: true })
  const found = search()
  fs.writeFileSync(record, `${JSON.stringify({ keptFor: key(), ...found }, null, 2)}\n`)
  return found
}

const asks = () => process.env.OPENBLAS_DIR ?? ''

/** An answer is good for as long as this file would give it again. */
const key = () => `${asks()} ${crypto.createHash('sha256').update(fs.readFileSync(__filename)).digest('hex')}`

/** @param {string[]} notes @returns {Found} */
const none = (notes) => ({ name: 'none', origin: '', defines: [], link: [], notes })

/** @returns {Found} */
function search() {
  /** @type {string[]} */
  const notes = []
  if (process.platform === 'darwin') {
    const defines = ['DOWNHILL_BLAS=1', 'DOWNHILL_ACCELERATE=1']
    return { name: 'Accelerate', origin: 'macOS', defines, link: ['-framework', 'Accelerate'], notes }
  }
  if (process.platform !== 'linux') return none(notes)
  for (const place of [named, distributed, installed]) {
    for (const { library, origin, sha256 } of place(notes)) {
      const link = [...guards, prelinked(library, notes)]
      const answer = probed(link)
      if (answer.version) {
        return { name: `OpenBLAS ${answer.version}`, origin, sha256, defines: ['DOWNHILL_BLAS=1'], link, notes }
      }
      notes.push(`${origin} ${answer.problem}`)
    }
  }
  return none(notes)
}

// ---- Places: each yields candidates, best first --------------------------------------------------------------------

/** @typedef {{ library: string, origin: string, sha256?: string }} Candidate */

/** The folder that the user names. @param {string[]} notes @returns {Candidate[]} */
function named(notes) {
  const folder = asks()
  if (folder === '') return []
  const found = [folder, path.join(folder, 'lib')].map((f) => path.resolve(f, 'libopenblas.a')).filter(fs.existsSync)
  if (found.length === 0) notes.push(`OPENBLAS_DIR ${folder} has no libopenblas.a`)
  return found.map((library) => ({ library, origin: `OPENBLAS_DIR ${folder}` }))
}

/**
 * The distribution's own package of the serial build.
 * @param {string[]} notes @returns {Iterable<Candidate>}
 */
function* distributed(notes) {
  const here = which('dpkg') ? run('dpkg', ['-L', debianPackage]) : { ok: false, out: '' }
  if (here.ok) {
    const library = here.out.split('\n').find((file) => file.endsWith('/libopenblas.a'))
    if (library && fs.existsSync(library)) yield { library, origin: `${debianPackage} as installed` }
  }
  if (!which('apt-get') || !which('dpkg-deb')) return
  const fetched = fetchPackage()
  if (fetched.library) yield { library: fetched.library, origin: debianPackage, sha256: fetched.sha256 }
  else notes.push(`${debianPackage} could not be fetched (${fetched.problem})`)
}

/** What the compiler finds where it looks by itself. @returns {Candidate[]} */
function installed() {
  const cxx = compiler()
  const library = cxx ? run(cxx, ['-print-file-name=libopenblas.a']).out.trim() : ''
  return path.isAbsolute(library) ? [{ library, origin: `the system's ${path.normalize(library)}` }] : []
}

// ---- Fetching a Debian package without root ------------------------------------------------------------------------

/**
 * Fetches and unpacks the package by apt, from whatever mirrors this machine uses.
 *
 * Who vouches for it: apt checks the signature of the archive's index (InRelease) against the machine's keyring, and
 * the index holds the SHA-256 of every package; apt refuses a file that differs. We compute the digest once more and
 * compare it with the index's, so that nothing is linked that merely lay in the folder.
 *
 * The machine's own package lists serve if they are good. On a bare machine they are empty, and refreshing them takes
 * root; then lists of our own are made in a temporary folder.
 * @returns {{ library?: string, sha256?: string, problem?: string }}
 */
function fetchPackage() {
  const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'downhill-openblas-'))
  try {
    const cache = path.join(temporary, 'cache')
    const state = path.join(temporary, 'state')
    for (const folder of [path.join(cache, 'archives', 'partial'), path.join(state, 'lists', 'partial')])
      fs.mkdirSync(folder, { recursive: true })
    const options = settings({
      'Dir::Cache': cache,
      'Dir::Cache::archives': path.join(cache, 'archives'),
      'APT::Sandbox::User': 'root', // means: drop to nobody else, since the folder is ours alone
      'APT::Get::AllowUnauthenticated': 'false',
      'Acquire::AllowInsecureRepositories': 'false',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '1',
      'Acquire::http::Timeout': '10',
      'Acquire::https::Timeout': '10',
    })
    const ownLists = settings({ 'Dir::State': state, 'Dir::State::status': '/var/lib/dpkg/status' })
    const first = download(temporary, options)
    if (first.library) return first
    run('apt-get', [...options, ...ownLists, '-qq', 'update'], { seconds: 60 })
    const second = download(temporary, [...options, ...ownLists])
    return second.problem === notListed ? first : second
  } finally {
    fs.rmSync(temporary, { recursive: true, force: true })
  }
}

/** @param {Record<string, string>} values */
const settings = (values) => Object.entries(values).flatMap(([name, value]) => ['-o', `${name}=${value}`])

/**
 * @param {string} folder @param {string[]} options
 * @returns {{ library?: string, sha256?: string, problem?: string }}
 */
function download(folder, options) {
  const shown = run('apt-cache', [...options, 'show', '--no-all-versions', debianPackage])
  const sha256 = /^SHA256: ([0-9a-f]{64})$/m.exec(shown.out)?.[1]
  if (!sha256) return { problem: notListed }
  const got = run('apt-get', [...options, '-qq', 'download', debianPackage], { cwd: folder, seconds: 60 })
  const file = fs.readdirSync(folder).find((name) => name.endsWith('.deb'))
  if (!got.ok || !file) return { problem: 'the download failed' }
  const deb = path.join(folder, file)
  const digest = crypto.createHash('sha256').update(fs.readFileSync(deb)).digest('hex')
  if (digest !== sha256) return { problem: `its SHA-256 is ${digest}, and the index says ${sha256}` }
  const unpacked = path.join(folder, 'unpacked')
  if (!run('dpkg-deb', ['-x', deb, unpacked]).ok) return { problem: 'it could not be unpacked' }
  const inside = /** @type {string[]} */ (fs.readdirSync(unpacked, { recursive: true }))
  const library = inside.find((name) => path.basename(name) === 'libopenblas.a')
  if (!library) return { problem: 'there is no libopenblas.a in it' }
  const own = path.join(kept, 'libopenblas.a')
  fs.copyFileSync(path.join(unpacked, library), own)
  return { library: own, sha256 }
}

// ---- One object out of an archive ----------------------------------------------------------------------------------

/**
 * An x86-64 OpenBLAS carries kernels for some twenty generations of CPUs, 25 MB of them. Four cover all: what lies
 * between two is served by the lower. Each dropped name becomes another name of a kept one, so that OpenBLAS' own
 * choice, and OPENBLAS_CORETYPE, stay right.
 */
const cores = [
  { keep: 'SKYLAKEX', serves: ['COOPERLAKE', 'SAPPHIRERAPIDS'] },
  { keep: 'HASWELL', serves: ['ZEN', 'EXCAVATOR'] },
  { keep: 'SANDYBRIDGE', serves: ['BULLDOZER', 'PILEDRIVER', 'STEAMROLLER'] },
  { keep: 'PRESCOTT', serves: [] }, // and all that are older or without AVX
]

/** What native/blas.cc calls. */
const called = ['cblas_sgemm', 'openblas_get_config', 'openblas_get_corename', 'openblas_get_parallel']

/** What OpenBLAS calls by way of native/blas.cc: the environment, and its allocator of scratch buffers. */
const guarded = ['blas_memory_alloc', 'blas_memory_free']
const wraps = ['getenv', ...guarded].map((name) => `--wrap=${name}`)
const guards = wraps.map((flag) => `-Wl,${flag}`)

/**
 * The part of an archive that sgemm needs, as one object file of 6 MB that shows these names only; the archive itself
 * where binutils cannot do it.
 * @param {string} archive @param {string[]} notes
 */
function prelinked(archive, notes) {
  const whole = path.join(kept, 'whole.o')
  const object = path.join(kept, 'openblas.o')
  const wanted = called.flatMap((name) => ['-u', name]).concat(wraps)
  const shown = [...called, ...guarded].map((name) => `--keep-global-symbol=${name}`)
  const steps = [
    () => run('ld', ['-r', '-o', whole, ...wanted, ...aliases(archive), archive]),
    () => run('objcopy', ['--strip-unneeded', ...shown, whole, object]),
  ]
  const done = steps.every((step) => step().ok)
  fs.rmSync(whole, { force: true })
  if (done && path.dirname(archive) === kept) fs.rmSync(archive)
  if (done) return object
  notes.push('binutils could not trim OpenBLAS, so that all of it is linked')
  return archive
}

/** --defsym for each kernel set that the archive chooses among and we drop. @param {string} archive */
function aliases(archive) {
  if (process.arch !== 'x64') return []
  const chooser = path.join(kept, 'dynamic.o')
  const extracted = run('ar', ['x', archive, 'dynamic.o'], { cwd: kept }) // none in a build for one CPU
  if (!extracted.ok || !fs.existsSync(chooser)) return []
  const undefinedNames = run('nm', ['-u', chooser]).out
  fs.rmSync(chooser)
  const has = new Set([...undefinedNames.matchAll(/ gotoblas_([A-Z0-9_]+)$/gm)].map((match) => match[1]))
  if (!cores.every(({ keep }) => has.has(keep))) return []
  return [...has]
    .filter((name) => cores.every(({ keep }) => keep !== name))
    .map((name) => {
      const target = cores.find(({ serves }) => serves.includes(name))?.keep ?? 'PRESCOTT'
      return `--defsym=gotoblas_${name}=gotoblas_${target}`
    })
}

// ---- Asking it -----------------------------------------------------------------------------------------------------

/** @param {string[]} link @returns {{ version?: string, problem?: string }} */
function probed(link) {
  const cxx = compiler()
  if (!cxx) return { problem: 'cannot be tried without a C++ compiler' }
  const program = path.join(kept, 'probe')
  const sources = ['scripts/openblas-probe.cc', 'native/blas.cc'].map((file) => path.join(root, file))
  const args = ['-std=c++17', '-O1', '-DDOWNHILL_BLAS=1', '-pthread', ...sources, ...link, '-o', program]
  if (!run(cxx, args).ok) return { problem: 'cannot be linked' }
  const answer = run(program, [], { seconds: 20 })
  fs.rmSync(program)
  const version = /^OpenBLAS (\S+) serial/.exec(answer.out)?.[1]
  if (answer.ok && version) return { version }
  return { problem: /^none \((.*)\)$/m.exec(answer.out)?.[1] ?? 'does not run here' }
}

if (require.main === module) process.stdout.write(`${JSON.stringify(lookAgain(), null, 2)}\n`)

module.exports = { openblas, openblasNow }
