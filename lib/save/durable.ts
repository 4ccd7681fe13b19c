/**
 * Files that are whole or not there: written beside their place, forced to the disk, and moved into it in one step.
 */
import { randomBytes } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DownhillError } from '../errors'

/**
 * Writes `bytes` to `path` so that after any interruption the old file stands there or the new one, whole.
 * @throws ERR_FILE; then the old file stands, unless the last step failed, forcing the folder's entry to the disk
 */
export async function writeDurably(path: string, bytes: Buffer): Promise<void> {
  const beside = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const file = await open(beside, 'wx')
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(beside, path)
    const folder = await open(dirname(path), 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  } catch (cause) {
    await rm(beside, { force: true }).catch(() => {})
    throw fileError('write', path, cause)
  }
}

/** @throws ERR_FILE */
export async function readWhole(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    throw fileError('read', path, cause)
  }
}

function fileError(verb: string, path: string, cause: unknown): DownhillError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new DownhillError('ERR_FILE', `Could not ${verb} ${path}: ${reason}.`, { cause })
}
