/**
 * What the build scripts share: finding programs and running them. Nothing here throws for a program that is
 * missing or fails; callers decide what that means.
 */
const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const root = path.dirname(__dirname)

/** Full path of the first of `names` on the PATH, or null. @param {...string} names */
function which(...names) {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean)
  for (const name of names) {
    const places = path.isAbsolute(name) ? [name] : folders.map((folder) => path.join(folder, name))
    const found = places.find(isExecutable)
    if (found) return found
  }
  return null
}

/** @param {string} file */
function isExecutable(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}

/**
 * Runs a program to its end, without a shell.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, seconds?: number }} [options]
 * @returns {{ ok: boolean, out: string, log: string }} `out` is stdout; `log` the command and all it printed
 */
function run(program, args, { cwd = root, env = process.env, seconds = 600 } = {}) {
  const done = spawnSync(program, args, {
    cwd,
    env,
    encoding: 'utf8',
    timeout: seconds * 1000,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const problem = done.error ? `${done.error.message}\n` : ''
  const log = `$ ${[program, ...args].join(' ')}\n${done.stdout ?? ''}${done.stderr ?? ''}${problem}`
  return { ok: done.status === 0, out: done.stdout ?? '', log }
}

/**
 * Runs commands side by side, as many at once as there are cores; after a failure no more are begun.
 * @param {readonly (readonly string[])[]} commands each a program and its arguments
 * @returns {Promise<{ ok: boolean, log: string }>}
 */
async function runAll(commands) {
  const waiting = [...commands]
  let ok = true
  let log = ''
  const work = async () => {
    for (let command = waiting.shift(); command && ok; command = waiting.shift()) {
      const [program, ...args] = command
      const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
      let said = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said += data))
      const code = await new Promise((resolve) => {
        child.on('error', resolve)
        child.on('close', resolve)
      })
      log += `$ ${command.join(' ')}\n${said}`
      if (code !== 0) ok = false
    }
  }
  await Promise.all(Array.from({ length: os.availableParallelism() }, work))
  return { ok, log }
}

/** The C++ compiler: CXX where it is set, as for make. */
function compiler() {
  return which(...(process.env.CXX ? [process.env.CXX] : []), 'g++', 'c++', 'clang++')
}

/** Folder of an installed package. @param {string} name */
const folderOf = (name) => path.dirname(require.resolve(`${name}/package.json`, { paths: [root] }))

/** Whether a package is installed. @param {string} name */
function has(name) {
  try {
    return folderOf(name) !== ''
  } catch {
    return false
  }
}

module.exports = { root, which, run, runAll, compiler, folderOf, has }
