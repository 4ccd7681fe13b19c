/**
 * The habits that a machine can check: formatting and lint of TypeScript and JavaScript (biome), formatting of C++
 * (clang-format), types of everything (tsc). All run, and all findings are shown.
 *
 *     node scripts/check.js [--write]      --write formats instead of complaining
 *
 * Types are checked against dist/, so `npm run build` comes first. Where clang-format is missing, one line says so: the
 * C++ is then not checked, except on a machine that sets CI.
 */
const fs = require('node:fs')
const path = require('node:path')
const { root, run, which } = require('./tools')

const write = process.argv.includes('--write')

/** @param {string} folder @returns {string[]} */
function cppFiles(folder) {
  const all = /** @type {string[]} */ (fs.readdirSync(path.join(root, folder), { recursive: true }))
  return all.filter((file) => /\.(cc|h)$/.test(file)).map((file) => path.join(folder, file))
}

const cpp = ['native', 'scripts', 'test', 'bench']
  .filter((folder) => fs.existsSync(path.join(root, folder)))
  .flatMap(cppFiles)
const clangFormat = which('clang-format')

/** @type {{ name: string, program: string | null, args: string[] }[]} */
const checks = [
  {
    name: 'biome',
    program: process.execPath,
    args: [require.resolve('@biomejs/biome/bin/biome'), write ? 'check' : 'ci', ...(write ? ['--write'] : [])],
  },
  { name: 'clang-format', program: clangFormat, args: [...(write ? ['-i'] : ['--dry-run', '--Werror']), ...cpp] },
  { name: 'tsc', program: process.execPath, args: [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.json'] },
]

for (const { name, program, args } of checks) {
  if (!program) {
    process.stdout.write(`${name}: not on this machine, so nothing was checked with it\n`)
    if (process.env.CI) process.exitCode = 1
    continue
  }
  const done = run(program, args)
  process.stdout.write(done.ok ? `${name}: good\n` : `${name}: failed\n${done.log}\n`)
  if (!done.ok) process.exitCode = 1
}
