/**
 * Finds the compiled addon and loads it, or says why there is none. It knows where addons lie, and nothing of what is
 * in them; it never throws, since downhill runs without one.
 *
 * In this order:
 * - DOWNHILL_ADDON, a path; then only that one is tried, so that a build under test is never replaced in silence
 * - build/Release: what a checkout built
 * - prebuilds/<platform>-<arch>, then with `-musl` behind: what a package brings. One made for the other C library
 *   does not load and does no harm, so that nobody has to find out which library this is
 */
import { existsSync } from 'node:fs'
import path from 'node:path'

export interface Addon {
  /** What the addon exports; null where none was loaded. */
  readonly addon: unknown
  /** The file loaded; null where none was. */
  readonly path: string | null
  /** Why none was loaded, in a clause; '' where one was. */
  readonly reason: string
  /** Each file looked at, and what came of it. */
  readonly attempts: readonly string[]
}

let known: Addon | undefined

/** The addon of this process, looked for at the first call. */
export function loadAddon(): Addon {
  known ??= look(candidates())
  return known
}

function candidates(): string[] {
  const asked = process.env.DOWNHILL_ADDON
  if (asked) return [path.resolve(asked)]
  const root = path.join(__dirname, '..', '..')
  const platform = `${process.platform}-${process.arch}`
  return [
    path.join(root, 'build', 'Release', 'downhill.node'),
    path.join(root, 'prebuilds', platform, 'downhill.node'),
    path.join(root, 'prebuilds', `${platform}-musl`, 'downhill.node'),
  ]
}

function look(files: readonly string[]): Addon {
  const attempts: string[] = []
  let reason = 'it is not built'
  for (const file of files) {
    if (!existsSync(file)) {
      attempts.push(`${file}: not there`)
      continue
    }
    try {
      const addon: unknown = require(file)
      attempts.push(`${file}: loaded`)
      return { addon, path: file, reason: '', attempts }
    } catch (error) {
      // Of a dynamic linker's message the first line says it.
      const why = (error instanceof Error ? error.message : String(error)).split('\n')[0]
      attempts.push(`${file}: ${why}`)
      reason = `it does not load: ${why}`
    }
  }
  return { addon: null, path: null, reason, attempts }
}
