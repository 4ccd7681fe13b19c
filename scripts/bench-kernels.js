/**
 * Builds bench/kernels with the core's own flags, and runs it for each set of kernels against the BLAS kernels of the
 * same instructions.
 *
 *     npm run bench:kernels [-- avx512 | avx2 | portable …] [-- --short]
 */
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { root, compiler, runAll } = require('./tools')
const { openblasNow } = require('./openblas')
const recipe = require('./recipe')

/** OpenBLAS' name for kernels of a set's instructions, those with SSE only being the portable set's match. */
const cores = { avx512: 'SkylakeX', avx2: 'Haswell', portable: 'Nehalem' }

/** The program, built anew; null and a log on stderr where it does not compile. */
async function build() {
  openblasNow()
  const cxx = compiler()
  if (cxx === null) return null
  const folder = path.join(root, 'build', 'bench-kernels')
  fs.mkdirSync(folder, { recursive: true })
  const flags = [...recipe.cflags(), ...recipe.coreDefines().map((define) => `-D${define}`), '-DNDEBUG', '-Inative']
  const sources = [...recipe.coreSources(), path.join('bench', 'kernels', 'main.cc')]
  const objects = sources.map((source) => path.join(folder, `${source.replaceAll(/[\\/]/g, '-')}.o`))
  const program = path.join(folder, 'kernels')
  const steps = [
    sources.map((source, i) => [cxx, ...flags, '-c', source, '-o', objects[i]]),
    [[cxx, ...objects, ...recipe.ldflags(), ...recipe.libraries(), '-o', program]],
  ]
  for (const commands of steps) {
    const { ok, log } = await runAll(commands)
    if (ok) continue
    process.stderr.write(log)
    return null
  }
  return program
}

async function main() {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { short: { type: 'boolean' } } })
  const program = await build()
  if (program === null) {
    process.exitCode = 1
    return
  }
  for (const [set, core] of Object.entries(cores)) {
    if (positionals.length > 0 && !positionals.includes(set)) continue
    const env = { ...process.env, DOWNHILL_SIMD: set, OPENBLAS_CORETYPE: core }
    const { status } = spawnSync(program, values.short ? ['--short', set] : [set], { cwd: root, env, stdio: 'inherit' })
    if (status !== 0) process.exitCode = 1
    process.stdout.write('\n')
  }
}

main()
