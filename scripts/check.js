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
const { root, run, which, folderOf } = require('./tools')

const write = process.argv.includes('--write')

/** C++ that git knows or would take. */
const cpp = run('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.cc', '*.h'])
  .out.split('\n')
  .filter((file) => file !== '' && fs.existsSync(path.join(root, file)))
/** As much of a tool's findings as anybody reads. @param {string} text */
function beginning(text) {
  const lines = text.split('\n').filter((line) => !line.startsWith('$ '))
  return lines.length <= 200
    ? lines.join('\n')
    : `${lines.slice(0, 200).join('\n')}\n… and ${lines.length - 200} lines more`
}

const clangFormat = which('clang-format')

/** @type {{ name: string, program: string | null, args: string[] }[]} */
const checks = [
  {
    name: 'biome',
    program: process.execPath,
    args: [
      path.join(folderOf('@biomejs/biome'), 'bin', 'biome'),
      'check',
      '--colors=off',
      ...(write ? ['--write'] : []),
    ],
  },
  { name: 'clang-format', program: clangFormat, args: [...(write ? ['-i'] : ['--dry-run', '--Werror']), ...cpp] },
  {
    name: 'tsc',
    program: process.execPath,
    args: [path.join(folderOf('typescript'), 'bin', 'tsc'), '-p', 'tsconfig.json'],
  },
]

for (const { name, program, args } of checks) {
  if (!program) {
    process.stdout.write(`${name}: not on this machine, so nothing was checked with it\n`)
    if (process.env.CI) process.exitCode = 1
    continue
  }
  const done = run(program, args)
  process.stdout.write(done.ok ? `${name}: good\n` : `${name}: failed\n${beginning(done.log)}\n`)
  if (!done.ok) process.exitCode = 1
}
