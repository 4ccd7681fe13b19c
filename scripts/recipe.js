/**
 * What the addon is made of: sources, flags, libraries. binding.gyp, CMakeLists.txt, the plain compiler and the tests
 * of the core ask here, so that all of them build the same program.
 *
 *     node scripts/recipe.js cflags        prints one entry a line
 *
 * Flags, and what is refused:
 * - No -march=native: what is built here runs elsewhere. Newer instructions are chosen at run time, per function.
 * - No -ffast-math: NaN is a symptom, and we are doctors. -fno-math-errno and -fno-trapping-math change no value; they
 *   let sqrt be one instruction and loops with comparisons be vectorised.
 * - -ffp-contract=off: whether a*b+c rounds once or twice is written in the source, not left to the compiler, whose
 *   default differs (g++ fast, clang on). A fused step is spelled fma.
 * - No RTTI. Errors are values; exceptions are compiled in for two that the C++ library throws, memory and threads that are
 *   not there, which are caught where they arise. Nothing is thrown across the border.
 * - The C++ library is linked in, so that the addon does not depend on its version; libgcc_s is not, since Node needs
 *   it anyway and a static one asks for glibc 2.35.
 */
const fs = require('node:fs')
const path = require('node:path')
const { root, folderOf } = require('./tools')
const { openblas } = require('./openblas')

const linux = process.platform === 'linux'
const mac = process.platform === 'darwin'

/** Entries of native/sources.txt. */
function sources() {
  return fs
    .readFileSync(path.join(root, 'native', 'sources.txt'), 'utf8')
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter(Boolean)
}

/** All but the file that knows Node. */
const coreSources = () => sources().filter((file) => file !== 'native/addon.cc')

const includes = () => ['native']

/** N-API's own headers, for a builder that brings none. */
const nodeHeaders = () => [path.join(folderOf('node-api-headers'), 'include')]

/** For the core alone, as its tests build it: with its assertions. */
const coreDefines = () => openblas().defines

/** For the addon. TypeScript has checked what comes in, so assertions cost without need. */
function defines() {
  return ['NDEBUG', 'NAPI_VERSION=8', ...coreDefines()]
}

const cflags = () => [
  '-std=c++17',
  '-O3',
  '-fPIC',
  '-pthread',
  '-fno-math-errno',
  '-fno-trapping-math',
  '-ffp-contract=off',
  '-fexceptions', // node-gyp's default is without
  '-fno-rtti',
  '-fvisibility=hidden',
  '-fvisibility-inlines-hidden',
  '-ffunction-sections',
  '-fdata-sections',
  '-Wall',
  '-Wextra',
]

/** For whatever the core is linked into. */
const ldflags = () => (linux ? ['-pthread', '-static-libstdc++', '-Wl,--gc-sections'] : ['-pthread'])

/** For the addon itself, beside `ldflags`. */
function addonLdflags() {
  if (mac) return ['-bundle', '-undefined', 'dynamic_lookup', '-Wl,-dead_strip']
  const visible = `-Wl,--version-script=${path.join(root, 'native', 'exports.map')}`
  return ['-shared', visible, '-Wl,-z,relro,-z,now,-z,noexecstack']
}

/** What comes last in a link. */
const libraries = () => openblas().link

const parts = {
  sources,
  coreSources,
  includes,
  nodeHeaders,
  coreDefines,
  defines,
  cflags,
  ldflags,
  addonLdflags,
  libraries,
}

if (require.main === module) {
  const part = parts[/** @type {keyof typeof parts} */ (process.argv[2])]
  if (!part) {
    process.stderr.write(`usage: node scripts/recipe.js ${Object.keys(parts).join(' | ')}\n`)
    process.exit(2)
  }
  process.stdout.write(
    part()
      .map((entry) => `${entry}\n`)
      .join(''),
  )
}

module.exports = parts
