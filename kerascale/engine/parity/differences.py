"""What differs between a batch and its slices, and whose fault it is."""

from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np

from kerascale.engine.parity.observing import Observation

# How far values may be apart, over their norm. Rounding is a hundredth of it; what
# couples the rows of a batch is ten times it and more.
_ROUNDING = {"float64": 1e-8, "float32": 1e-3}
_ROUNDING_OF_HALVES = 5e-2

_GRADIENTS = "the gradients"

Parts = Sequence[Observation]
Results = Callable[[list[np.ndarray]], dict[str, np.ndarray]]


class Differences:
    """Says in words where slices are not the batch.

    Args:
        model: The model that was looked at.
        results: Name -> result of the metrics, of what their variables are.
    """

    def __init__(self, model: keras.Model, results: Results) -> None:
        self._model = model
        self._results = results
        self._is_half = "16" in model.compute_dtype
        dtype = "float16" if self._is_half else model.compute_dtype
        # Whether all values were that were compared.
        self.are_finite = True
        self._limit = _ROUNDING.get(dtype, _ROUNDING_OF_HALVES)

    def between(
        self, whole: Observation, parts: Parts, shares: Sequence[float]
    ) -> list[str]:
        """Each difference in a line; the cause comes before what follows from it.

        Args:
            whole: Of the batch.
            parts: Of its slices.
            shares: Of each slice: its rows over those of the batch.
        """
        found = self._of_written(whole, parts) + self._of_outputs(whole, parts)
        if not found:
            found = self._of_losses(whole, parts)
        if not found:
            found = self._of_metrics(whole, parts)
            found += self._of_logs(whole, parts, shares)
        if not found:
            found = self._of_gradients(whole, parts)
        return found

    def by_update(self, at_once: Observation, after: Observation) -> bool:
        """Whether anything of a step depends on when its update is made.

        Args:
            at_once: Of a batch, updating where the step says so.
            after: Of the same, updating behind it.
        """
        trained = {path for each in at_once.gradients for path in each}
        now, later = (
            {k: v for k, v in o.written.items() if k not in trained}
            for o in (at_once, after)
        )
        same_logs = self._same_dicts(at_once.logs, after.logs)
        pairs = zip(at_once.metrics, after.metrics, strict=True)
        return not (
            len(at_once.gradients) == 1
            and same_logs
            and self._same_dicts(now, later)
            and all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)
        )

    def _same_dicts(self, a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
        return a.keys() == b.keys() and all(
            np.array_equal(a[k], b[k], equal_nan=a[k].dtype.kind == "f") for k in a
        )

    # ------------------------------------------------------------- kinds of results

    def _of_outputs(self, whole: Observation, parts: Parts) -> list[str]:
        name = f"call of {type(self._model).__name__}"
        joined = [list(each) for each in zip(*(p.outputs for p in parts), strict=True)]
        for output, slices in zip(whole.outputs, joined, strict=True):
            if output.ndim == 0:
                if len(slices) == 1:  # Of the batch once more.
                    continue
                return [f"{name}: expected outputs with a row each. Received: a scalar"]
            together = np.concatenate(slices)
            if together.shape != output.shape:
                return [
                    f"{name}: the slices' outputs have {len(together)} rows, those of "
                    f"the whole batch {len(output)}"
                ]
            if not self._close(output, together):
                return [
                    f"{name}: its outputs for a row depend on the other rows "
                    f"({self._far(output, together)}), or on draws from a seed that "
                    "is no keras.random.SeedGenerator in an attribute of a layer"
                ]
        return []

    def _of_losses(self, whole: Observation, parts: Parts) -> list[str]:
        found = []
        for name, value in whole.losses.items():
            # Without a reduction it has a value for each row.
            total = sum(np.sum(p.losses.get(name, np.nan)) for p in parts)
            if not self._close(np.sum(value), total):
                found.append(
                    f"the loss {name!r} is {_short(value)} of the batch and "
                    f"{_short(total)} of its slices together: it couples the rows, or "
                    "is no mean over them"
                )
        return found

    def _of_metrics(self, whole: Observation, parts: Parts) -> list[str]:
        sums = [
            np.sum(each, axis=0)
            for each in zip(*(p.metrics for p in parts), strict=True)
        ]
        of_batch, of_slices = self._results(whole.metrics), self._results(sums)
        found = []
        for name, value in of_batch.items():
            other = of_slices[name]
            if self._close(value, other):
                continue
            what = f"the metric {name!r}"
            if name == "loss":
                what = f"the loss, {self._whose_loss()},"
            found.append(
                f"{what} is {_short(value)} of the batch and {_short(other)} of its "
                f"slices together{self._hint(value, other)}"
            )
        return found

    def _hint(self, value: np.ndarray, other: np.ndarray) -> str:
        """Says so where Keras has divided by the number of replicas."""
        replicas = self._model.distribute_strategy.num_replicas_in_sync
        if not np.any(value) or not self._close(value, other * replicas):
            return ""
        return (
            " (a loss of Keras that a step makes for itself divides by the number of "
            "replicas: keep it in an attribute of the model)"
        )

    def _of_logs(
        self,
        whole: Observation,
        parts: Parts,
        shares: Sequence[float],
    ) -> list[str]:
        found = []
        for name, value in whole.logs.items():
            other = sum(p.logs[name] * s for p, s in zip(parts, shares, strict=True))
            if not self._close(value, other):
                found.append(
                    f"the log {name!r} is {_short(value)} of the batch and "
                    f"{_short(other)} on the average of its slices"
                )
        return found

    def _of_written(self, whole: Observation, parts: Parts) -> list[str]:
        trained = {path for each in whole.gradients for path in each}
        by_owner: dict[str, list[str]] = {}
        for path, value in whole.written.items():
            if path in trained:
                continue
            others = [p.written.get(path) for p in parts]
            if any(o is None or not self._close(value, o) for o in others):
                owner, _, name = path.rpartition("/")
                by_owner.setdefault(owner or self._model.name, []).append(name)
        return [
            f"{owner} writes {', '.join(names)}: a slice another value than the batch"
            for owner, names in by_owner.items()
        ]

    def _of_gradients(self, whole: Observation, parts: Parts) -> list[str]:
        for number, gradients in enumerate(whole.gradients):
            # All slices have them reduced already.
            others = parts[0].gradients
            if number >= len(others) or gradients.keys() != others[number].keys():
                return ["optimizer.apply is called for other variables in a slice"]
            pairs = {k: (v, others[number][k]) for k, v in gradients.items()}
            flat = [np.concatenate(each) for each in zip(*pairs.values(), strict=True)]
            if self._is_half and not np.isfinite(flat).all():
                # A sum may be beyond the range where its parts are not.
                self.are_finite = False
                continue
            if not self._close(*flat):
                worst = max(pairs, key=lambda k: _distance(*pairs[k]))
                return [
                    f"{_GRADIENTS} that the step gives to its optimizer "
                    f"({self._far(*flat)}, most in {worst}): it changes those of a "
                    "slice, by clipping them or in a layer whose gradient couples "
                    "rows, or its loss is no mean over them"
                ]
        return []

    def _whose_loss(self) -> str:
        for name in ("compute_loss", "train_step"):
            for cls in type(self._model).__mro__:
                if name in vars(cls):
                    break
            if not cls.__module__.startswith(("kerascale.", "keras.")):
                return f"of {name} of {type(self._model).__name__}"
        return "with what layers add to it"

    # ------------------------------------------------------------------ comparisons

    def _close(self, a: np.ndarray, b: np.ndarray) -> bool:
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            return False
        if a.dtype.kind not in "fiub":
            return bool(np.array_equal(a, b))
        norm = np.linalg.norm(a)
        # Not finite in both: it says nothing, and training will.
        if not np.isfinite(norm):
            self.are_finite = False
            return not np.isfinite(np.linalg.norm(b))
        return bool(_distance(a, b) <= self._limit * max(norm, 1e-6))

    def _far(self, a: np.ndarray, b: np.ndarray) -> str:
        norm = np.linalg.norm(a)
        return f"{_distance(a, b) / norm if norm else _distance(a, b):.1e} apart"


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)))


def _short(value: np.ndarray) -> str:
    return f"{float(np.sum(value)):.6g}"


def is_of_gradients(lines: Sequence[str]) -> bool:
    """Whether nothing differs but gradients: what causes that is not known."""
    return all(line.startswith(_GRADIENTS) for line in lines)


def unique(lines: Iterable[str]) -> list[str]:
    """Each line once, by what stands before its first figure."""
    return list({line.split(" is ")[0]: line for line in lines}.values())
