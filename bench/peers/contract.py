"""What a contender in Python is, and the trial that runs one: the twin of ../contract.ts and ../trial.ts.

A peer's file defines OPEN = {variant: function(task, threads) -> contender} and ends with contract.main(OPEN).
A contender has `version`, maybe `setting` and `differs`, reset(), block() and, to predict, probabilities(rows).
"""
import ctypes
import json
import math
import os
import sys
import time
from types import SimpleNamespace

import numpy as np

LEAST_BLOCKS = 3
EVIDENCE = 160
EVIDENCE_ROWS = 16


class Unable(Exception):
    """This peer cannot do this task; the message becomes its row."""


def load(folder):
    with open(os.path.join(folder, "task.json")) as file:
        task = json.load(file)
    raw = np.fromfile(os.path.join(folder, "x.bin"), task["x"]["dtype"])
    sizes = task["layers"]
    x = raw.reshape(task["rows"], sizes[0])
    if x.dtype == np.uint8:
        x = x.astype(np.float32) * np.float32(task["x"]["scale"])
    floats = np.fromfile(os.path.join(folder, "start.bin"), np.float32)

    def start():
        """(W, b) of each layer, fresh copies, W in x out."""
        at, layers = 0, []
        for i, o in zip(sizes, sizes[1:]):
            layers.append((floats[at:at + i * o].reshape(i, o).copy(), floats[at + i * o:at + i * o + o].copy()))
            at += i * o + o
        return layers

    names = {"learningRate": "learning_rate"}
    task = {names.get(key, key): value for key, value in task.items()}
    task.update(x=x, labels=np.fromfile(os.path.join(folder, "labels.bin"), np.uint8), start=start)
    return SimpleNamespace(**task)


def openblas():
    """The OpenBLAS loaded in this process, or None."""
    with open("/proc/self/maps") as maps:
        paths = {line.split()[-1] for line in maps if "openblas" in line}
    for library in map(ctypes.CDLL, sorted(paths)):
        if hasattr(library, "openblas_get_config"):
            library.openblas_get_config.restype = library.openblas_get_corename.restype = ctypes.c_char_p
            return library
    return None


def blas_kernel():
    """OpenBLAS's version and the CPU kernel it chose."""
    library = openblas()
    if library is None:
        return "BLAS unknown"
    version = library.openblas_get_config().decode().split(" ")[1]
    return "OpenBLAS %s %s" % (version, library.openblas_get_corename().decode())


def trial(contender, task, budget):
    seconds, result = [], None

    def block():
        nonlocal result
        contender.reset()
        start = time.perf_counter()
        result = contender.block()
        return time.perf_counter() - start

    first = block()
    if first >= budget:
        seconds.append(first)
    else:
        spent = first
        while spent < budget or len(seconds) < LEAST_BLOCKS:
            seconds.append(block())
            spent += seconds[-1]
    said = {name: getattr(contender, name) for name in ("version", "setting", "differs") if hasattr(contender, name)}
    return {**said, "seconds": seconds, "evidence": evidence(contender, task, result)}


def evidence(contender, task, result):
    if task.kind == "train":
        if len(result) != task.passes:
            raise RuntimeError("%d losses for %d passes" % (len(result), task.passes))
        step = math.ceil(len(result) / EVIDENCE)
        return [float(loss) for i, loss in enumerate(result) if (len(result) - 1 - i) % step == 0]
    rows = min(EVIDENCE_ROWS, task.rows)
    probabilities = np.asarray(contender.probabilities(rows))
    if len(result) != task.rows or (probabilities.argmax(1) != np.asarray(result)[:rows]).any():
        raise RuntimeError("the classes returned are not those of the probabilities")
    return [float(p) for p in probabilities.ravel()]


def main(variants):
    variant, folder, budget, threads = sys.argv[1:]
    try:
        task = load(folder)
        outcome = trial(variants[variant](task, int(threads)), task, float(budget))
    except Unable as error:
        print("\n" + json.dumps({"unable": str(error)}))
        return
    # JSON has no NaN: a number that is none goes as null.
    outcome["evidence"] = [v if math.isfinite(v) else None for v in outcome["evidence"]]
    print("\n" + json.dumps(outcome))
