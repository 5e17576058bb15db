"""The process that has `shap`, and neither TensorFlow nor the model.

It reads how many parts an example has, in how many orders they are tried, and a seed;
asks for answers, rows of 0 (taken away) and 1; and gives the values of the parts.
"""

import os
import sys
import warnings

import numpy as np

from kerascale.trust.explanation import arrays


def main() -> None:
    source = sys.stdin.buffer
    # Whatever the library prints must not come between arrays.
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    import shap

    def answers(rows: np.ndarray) -> np.ndarray:
        arrays.write(target, np.asarray(rows, np.float64).reshape(len(rows), -1))
        return arrays.read(source)

    while True:
        try:
            count, orders, seed = arrays.read(source).tolist()
        except EOFError:
            return
        # One reference, the baseline: parts that are taken away are 0.
        background = np.zeros((1, count))
        explainer = shap.PermutationExplainer(answers, background, seed=seed)
        evaluations = 2 * count + 1
        found = explainer(
            np.ones((1, count)),
            max_evals=orders * evaluations,
            batch_size=evaluations,
            silent=True,
        )
        arrays.write(target, np.asarray(found.values, np.float64).reshape(-1))


if __name__ == "__main__":
    main()
