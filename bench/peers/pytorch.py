"""PyTorch: nn.Sequential, the losses on logits, torch.optim; eager, and traced for one-row predictions.

OpenMP (ATen's loops) and OpenBLAS (the products) each keep a pool of threads, and two pools can get in each other's way.
So with more than one thread every setting is tried first, and the trial runs with the fastest.
"""
import time

import contract
import numpy as np

try:
    import torch
    from torch import nn
except ImportError as error:
    torch = error


class Net:
    def __init__(self, task, threads, traced=False):
        if isinstance(torch, ImportError):
            raise contract.Unable("not installed: %s" % torch)
        torch.set_num_threads(threads)
        self.task = task
        activation = {"tanh": nn.Tanh, "relu": nn.ReLU}[task.activation]
        modules = []
        for i, o in zip(task.layers, task.layers[1:]):
            modules += [nn.Linear(i, o), activation()]
        self.net = nn.Sequential(*modules[:-1])
        self.x = torch.from_numpy(task.x)
        labels = torch.from_numpy(task.labels)
        self.y = labels.long() if task.output == "softmax" else labels.float()[:, None]
        self.loss = nn.CrossEntropyLoss() if task.output == "softmax" else nn.BCEWithLogitsLoss()
        self.reset()
        self.call = self.net
        if task.kind == "predict":
            self.net.eval()
            if traced:
                self.call = torch.jit.freeze(torch.jit.trace(self.net, self.x[:task.batch]))
        capability = torch.__config__.show().split("CPU capability usage: ")[1].split()[0]
        self.version = "PyTorch %s, %s, ATen %s" % (torch.__version__, contract.blas_kernel(), capability)
        if threads > 1:
            self.setting = self.tune(threads)

    def tune(self, threads):
        """Times a block with each setting, twice in turns; sets the one that had the fastest and names it."""
        blas = contract.openblas()

        def use(omp, openblas):
            torch.set_num_threads(omp)
            if blas is not None:
                blas.openblas_set_num_threads(openblas)

        settings = [(threads, threads), (threads, 1), (1, threads), (1, 1)]
        best = {}
        for setting in settings * 2:
            use(*setting)
            self.reset()
            start = time.perf_counter()
            self.block()
            best[setting] = min(best.get(setting, float("inf")), time.perf_counter() - start)
        fastest = min(best, key=best.get)
        use(*fastest)
        return "%d OpenMP, %d OpenBLAS" % fastest

    def reset(self):
        linear = [module for module in self.net if isinstance(module, nn.Linear)]
        with torch.no_grad():
            for module, (W, b) in zip(linear, self.task.start()):
                module.weight.copy_(torch.from_numpy(np.ascontiguousarray(W.T)))
                module.bias.copy_(torch.from_numpy(b))
        optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[self.task.optimizer]
        self.optimizer = optimizer(self.net.parameters(), lr=self.task.learning_rate)

    def block(self):
        task = self.task
        if task.kind == "predict":
            return self.predict()
        losses = []
        for _ in range(task.passes):
            total = 0.0
            for i in range(0, task.rows, task.batch):
                x, y = self.x[i:i + task.batch], self.y[i:i + task.batch]
                self.optimizer.zero_grad(set_to_none=True)
                loss = self.loss(self.net(x), y)
                loss.backward()
                self.optimizer.step()
                total += loss.item() * len(x)
            losses.append(total / task.rows)
        return losses

    def predict(self):
        task = self.task
        classes = torch.empty(task.rows, dtype=torch.long)
        with torch.inference_mode():
            for _ in range(task.passes):
                for i in range(0, task.rows, task.batch):
                    classes[i:i + task.batch] = self.call(self.x[i:i + task.batch]).argmax(1)
        return classes.numpy()

    def probabilities(self, rows):
        with torch.inference_mode():
            return torch.softmax(self.net(self.x[:rows]), 1).numpy()


contract.main({"eager": Net, "jit": lambda task, threads: Net(task, threads, traced=True)})
