"""scikit-learn: MLPClassifier with every extra off (no L2, no momentum, no shuffle, no early stop), from the task's start."""
import warnings

import contract
import numpy as np

try:
    import sklearn
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    warnings.simplefilter("ignore", ConvergenceWarning)
except ImportError as error:
    sklearn = error


class Net:
    def __init__(self, task, threads):
        if isinstance(sklearn, ImportError):
            raise contract.Unable("not installed: %s" % sklearn)
        self.task = task
        self.version = "scikit-learn %s, %s" % (sklearn.__version__, contract.blas_kernel())
        self.y = task.labels.astype(np.int64)
        # One tiny fit makes the attributes that a warm start goes on from; which classes there are, it learns here.
        first = np.unique(self.y, return_index=True)[1]
        self.net = self.make()
        self.net.fit(task.x[first], self.y[first])
        self.classes = self.net.classes_
        self.reset()

    def make(self):
        task = self.task
        return MLPClassifier(task.layers[1:-1], activation=task.activation, solver=task.optimizer, alpha=0,
                             batch_size=task.batch, learning_rate_init=task.learning_rate, max_iter=task.passes,
                             shuffle=False, tol=0, momentum=0, nesterovs_momentum=False, n_iter_no_change=10 ** 9,
                             warm_start=True)

    def reset(self):
        net, layers = self.net, self.task.start()
        net.coefs_, net.intercepts_ = [W for W, _ in layers], [b for _, b in layers]
        net.loss_curve_, net.n_iter_, net.t_, net._no_improvement_count, net.best_loss_ = [], 0, 0, 0, np.inf
        if hasattr(net, "_optimizer"):
            del net._optimizer

    def block(self):
        task = self.task
        if task.kind == "predict":
            classes = np.empty(task.rows, np.int64)
            for _ in range(task.passes):
                for i in range(0, task.rows, task.batch):
                    classes[i:i + task.batch] = self.net.predict(task.x[i:i + task.batch])
            return classes
        self.net.fit(task.x, self.y)
        return self.net.loss_curve_

    def probabilities(self, rows):
        return self.net.predict_proba(self.task.x[:rows])


contract.main({"float32": Net})
