/**
 * Files that are whole or not there: written beside their place, forced to the disk, and moved into it in one step.
 *
 * The same five steps twice, because `fitSync` can wait for nobody: in either the temporary file is on the disk before it
 * has the name, and the name before the call is over. A process that is killed may leave the temporary file; nobody
 * reads it.
 */
import { randomBytes } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DownhillError } from '../errors'

/**
 * Writes `pieces`, one after the other, to `path` so that after any interruption the old file stands there or the new
 * one, whole.
 * @throws ERR_FILE; then the old file stands, unless the last step failed, forcing the folder's entry to the disk
 */
export async function writeDurably(path: string, pieces: readonly Buffer[]): Promise<void> {
  const beside = nameBeside(path)
  try {
    const file = await open(beside, 'wx')
    try {
      await writeFile(file, pieces)
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

/** As `writeDurably`, on this thread. */
export function writeDurablySync(path: string, pieces: readonly Buffer[]): void {
  const beside = nameBeside(path)
  try {
    const file = openSync(beside, 'wx')
    try {
      for (const piece of pieces) writeFileSync(file, piece)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(beside, path)
    const folder = openSync(dirname(path), 'r')
    try {
      fsyncSync(folder)
    } finally {
      closeSync(folder)
    }
  } catch (cause) {
    try {
      rmSync(beside, { force: true })
    } catch {}
    throw fileError('write', path, cause)
  }
}

function nameBeside(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}.tmp`
}

/** Refuses a path that cannot be written, before hours are spent on what is to be written there. @throws ERR_FILE */
export function checkWritable(path: string): void {
  try {
    accessSync(dirname(path), constants.W_OK)
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw new Error('it is a folder')
  } catch (cause) {
    throw fileError('write', path, cause)
  }
}

export function exists(path: string): boolean {
  return existsSync(path)
}

/** @throws ERR_FILE */
export async function readWhole(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    throw fileError('read', path, cause)
  }
}

/** As `readWhole`, on this thread. @throws ERR_FILE */
export function readWholeSync(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw fileError('read', path, cause)
  }
}

function fileError(verb: string, path: string, cause: unknown): DownhillError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new DownhillError('ERR_FILE', `Could not ${verb} ${path}: ${reason}.`, { cause })
}
