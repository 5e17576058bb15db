"""A run's model as each runtime takes it: named inputs, real examples, signatures."""

import dataclasses
from typing import Any

import tensorflow as tf

from kerascale.compression.formats.rungs import Rung
from kerascale.compression.formats.stored_weights import WeightStore
from kerascale.compression.quantization import ranges
from kerascale.compression.quantization.ranges import Ranges
from kerascale.runs.run import Run
from kerascale.serving import interface, source
from kerascale.serving.gate import Call
from kerascale.serving.interface import Interface
from kerascale.serving.saved_model import examples_of, questions, signature_functions
from kerascale.serving.source import Subject

# Of a SavedModel of texts: its core, which takes token ids.
IDS = "ids"
DEFAULT = "serving_default"


@dataclasses.dataclass(frozen=True)
class Compressible:
    """What is compressed.

    Args:
        run: The run.
        core: The model that takes numbers, with its examples.
        core_face: How it is called by name.
        served: The same with its preprocessing in front, as a SavedModel has it.
        served_face: How that is called by name.
        ranges: Of activations, if the run has learned them.
    """

    run: Run
    core: Subject
    core_face: Interface
    served: Subject
    served_face: Interface
    ranges: Ranges | None = None

    def subject(self, runtime: str) -> Subject:
        """What a runtime's versions are of: texts go into TensorFlow alone."""
        return self.served if runtime == "tensorflow" else self.core

    def signature(self, runtime: str) -> str:
        """The signature of a runtime's versions that takes numbers."""
        texts = runtime == "tensorflow" and self.run.vectorizer is not None
        return IDS if texts else DEFAULT

    def functions(self, level: str) -> dict[str, Any]:
        """Signature -> function of a SavedModel, with its weights kept as told."""
        store = WeightStore(level)
        face = store.interface(self.served_face)
        functions = signature_functions(
            self.served, face, examples_of(self.served, face), is_required=False
        )
        if self.run.vectorizer is not None:
            core = store.interface(self.core_face)

            @tf.function(input_signature=list(core.specs), autograph=False)
            def ids(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
                return core.call(*inputs)

            functions[IDS] = ids
        return functions

    def calls(self, runtime: str, signatures: list[str]) -> list[Call]:
        """What a version is asked at its export: the examples that the run kept.

        Args:
            runtime: The runtime.
            signatures: Those that the version has.
        """
        found: list[Call] = []
        for what, face, names in (
            (self.served, self.served_face, [n for n in signatures if n != IDS]),
            (self.core, self.core_face, [n for n in signatures if n == IDS]),
        ):
            if runtime != "tensorflow":
                what, face = self.core, self.core_face
            if names:
                found += questions(what, face, examples_of(what, face), names)[0]
        return found

    def as_measured(self, rung: Rung, scores: dict[str, Any]) -> Subject:
        """What a rung is a version of, with its own numbers in place of the run's."""
        what = self.subject(rung.runtime)
        names = ("accuracy", "loss", "perplexity", "r2", "rmse", "mae")
        names += ("agreement", "drop")
        metrics = {name: scores[name] for name in names if name in scores}
        origin = {**what.origin, "compressed": str(rung)}
        return dataclasses.replace(what, metrics=metrics, origin=origin)


def of(run: Run) -> Compressible:
    """What is compressed of a run."""
    core = source.of_run(run, labels=None, core=True)
    served = source.of_run(run, labels=None) if run.vectorizer is not None else core
    return Compressible(
        run,
        core,
        interface.of(core.model),
        served,
        interface.of(served.model),
        ranges.read(run.path),
    )
