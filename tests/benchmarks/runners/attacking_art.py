"""PGD of the Adversarial Robustness Toolbox, in an environment without TensorFlow.

    python attacking_art.py FILE.npz

The file has the weights of an `mlp`, examples with pixels from 0 to 1, and the budgets.
Gradients are computed here in NumPy: so neither the attack nor the gradient is ours.
Prints one JSON object: `NORM EPSILON` -> accuracy that is left.
"""

import json
import sys

import numpy as np
from art.attacks.evasion import ProjectedGradientDescent
from art.estimators.classification.classifier import ClassifierMixin
from art.estimators.estimator import BaseEstimator, LossGradientsMixin


class Mlp(ClassifierMixin, LossGradientsMixin, BaseEstimator):
    """Normalization, dense layers with ReLU, a softmax."""

    estimator_params = BaseEstimator.estimator_params

    def __init__(self, found):
        super().__init__(model=None, clip_values=(0.0, 1.0))
        self._kernels = [found[f"kernel_{i}"] for i in range(int(found["layers"]))]
        self._biases = [found[f"bias_{i}"] for i in range(int(found["layers"]))]
        self._mean, self._scale = found["mean"], found["scale"]
        self._shape = found["x"].shape[1:]
        self.nb_classes = self._biases[-1].shape[0]

    @property
    def input_shape(self):
        return self._shape

    def fit(self, x, y, **kwargs):
        raise NotImplementedError

    def _forward(self, x):
        hidden = ((x - self._mean) * self._scale).reshape(len(x), -1)
        active = []
        for kernel, bias in zip(self._kernels[:-1], self._biases[:-1], strict=True):
            hidden = hidden @ kernel + bias
            active.append(hidden > 0)
            hidden = np.maximum(hidden, 0)
        logits = hidden @ self._kernels[-1] + self._biases[-1]
        logits = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        return exponentials / exponentials.sum(axis=1, keepdims=True), active

    def predict(self, x, batch_size=128, **kwargs):
        del batch_size, kwargs
        return self._forward(np.asarray(x, np.float64))[0]

    def loss_gradient(self, x, y, **kwargs):
        del kwargs
        probabilities, active = self._forward(np.asarray(x, np.float64))
        slope = (probabilities - y) @ self._kernels[-1].T
        for kernel, on in zip(self._kernels[-2::-1], active[::-1], strict=True):
            slope = (slope * on) @ kernel.T
        return (slope.reshape(x.shape) * self._scale).astype(x.dtype)


def main(path):
    found = np.load(path)
    x, y = found["x"], found["y"]
    model = Mlp(found)
    labels = np.eye(model.nb_classes)[y]
    left = {"clean": float((model.predict(x).argmax(1) == y).mean())}
    for norm, epsilons in (("inf", found["inf"]), ("2", found["two"])):
        for epsilon in epsilons:
            np.random.seed(0)
            attack = ProjectedGradientDescent(
                model,
                norm=np.inf if norm == "inf" else 2,
                eps=float(epsilon),
                eps_step=2.5 * float(epsilon) / int(found["steps"]),
                max_iter=int(found["steps"]),
                num_random_init=int(found["restarts"]),
                batch_size=250,
                verbose=False,
            )
            tried = attack.generate(x, labels)
            accuracy = float((model.predict(tried).argmax(1) == y).mean())
            left[f"{norm} {epsilon:g}"] = accuracy
    print(json.dumps(left))


if __name__ == "__main__":
    main(sys.argv[1])
