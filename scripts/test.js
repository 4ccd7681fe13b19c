/**
 * `npm test`: everything a change must pass, in the order in which it is cheapest to hear of a mistake.
 *
 *   build    lib/ to dist/, the addon by the first builder there is
 *   check    formatting, lint, types
 *   core     the C++ core, tested without Node
 *   suite    test/*.test.ts, on every backend there is
 *   cmake    the addon once more by cmake-js; where its bytes differ from node-gyp's, the suite once more on it
 *
 * What a machine lacks (cmake, say) is left out with a line. The exit code is that of the worst.
 *
 *     npm test -- test/csv.test.ts        the build, then these files only
 */
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { root, run, which, compiler, folderOf } = require('./tools')
const { buildNative, target } = require('./build-native')

const files = process.argv.slice(2)
const count = { passed: 0, failed: 0, skipped: 0 }

/** @param {string} text */
const say = (text) => process.stdout.write(`${text}\n`)

/** Runs a step with its output shown; a failed one counts. @param {string} name @param {string} program @param {string[]} args */
function step(name, program, args, env = {}) {
  say(`\n== ${name}`)
  const started = Date.now()
  const { status } = spawnSync(program, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  const seconds = ((Date.now() - started) / 1000).toFixed(1)
  say(`== ${name}: ${status === 0 ? 'passed' : 'FAILED'} in ${seconds} s`)
  if (status !== 0) process.exitCode = 1
  return status === 0
}

/** @param {string} name @param {string[]} args */
const script = (name, ...args) => step(name, process.execPath, [path.join(root, 'scripts', `${name}.js`), ...args])

/** The suite under tap, whose 'min' reporter shows what failed, with the line; what passed is counted. */
function suite(name = 'suite', env = {}) {
  const output = path.join(root, 'build', `${name}.tap`)
  fs.rmSync(output, { force: true })
  const tap = path.join(folderOf('tap'), 'dist', 'esm', 'run.mjs')
  step(name, process.execPath, [tap, '--reporter=min', `--output-file=${output}`, ...files], env)
  if (!fs.existsSync(output)) return
  const lines = fs.readFileSync(output, 'utf8').split('\n')
  const total = lines.findLast((line) => line.startsWith('# { total: ')) ?? ''
  const number = (/** @type {string} */ key) => Number(new RegExp(`${key}: (\\d+)`).exec(total)?.[1] ?? 0)
  count.passed += number('pass')
  count.failed += number('fail')
  count.skipped += number('skip')
  const reasons = lines.flatMap((line) => /# SKIP (.*)/i.exec(line)?.[1] ?? [])
  for (const reason of new Set(reasons)) say(`skipped: ${reason}`)
}

/** Both build systems must build one addon: the same bytes, or another that passes the same suite. */
function cmake() {
  if (!which('cmake') || !compiler()) {
    say('\n== cmake: not on this machine, left out')
    return
  }
  const other = path.join(root, 'build', 'cmake', 'downhill.node')
  if (!script('build-native', '--with', 'cmake-js', '--to', other)) return
  if (fs.existsSync(target) && fs.readFileSync(target).equals(fs.readFileSync(other))) {
    say('the same bytes as build/Release/downhill.node, which passed the suite')
  } else {
    suite('suite on the addon by cmake-js', { DOWNHILL_ADDON: other })
  }
}

async function main() {
  const built = run('npm', ['run', '--silent', 'build'])
  if (!built.ok) {
    process.stderr.write(built.log)
    process.exitCode = 1
    return
  }
  if (!(await buildNative()) && compiler()) process.exitCode = 1
  if (files.length > 0) {
    suite()
  } else {
    script('check')
    if (compiler()) script('test-native')
    suite()
    cmake()
  }
  say(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
}

main()
