"""Adapters as a change of a training: what `--lora-rank` does."""

import hashlib
import pathlib
from typing import Any

import keras

from kerascale.compression.adapters import adapting, file
from kerascale.datasets import Datasets
from kerascale.errors import RefusedError
from kerascale.runs import layout
from kerascale.runtime import atomic_files
from kerascale.runtime.console import say
from kerascale.training.changes import Change
from kerascale.training.context import RunContext


class AdaptedTraining(Change):
    """A training of adapters alone. See `Change`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._goes_on_from: file.Content | None = None
        self._written: bytes = b""
        self._count = 0

    def check(self) -> list[str]:
        problems = []
        if self.init_from is None:
            problems.append(
                "lora_rank: expected the weights that adapters are added to. "
                "Received: no --init-from. Name a run: --init-from runs/NAME/1"
            )
        if self.init_partial:
            problems.append(
                "lora_rank: expected all weights to come from --init-from, as none of "
                "them trains. Received: --init-partial. Leave it out"
            )
        source = self.config.lora_from
        if source is not None:
            try:
                found = file.read(_place(source))
            except RefusedError as error:
                return [*problems, *(f"lora_from: {p}" for p in error.problems)]
            self._goes_on_from = found
            problems += _differences(found, self.config)
        return problems

    def depends_on(self) -> dict[str, str]:
        files = {"init_from": self.init_from}
        if self.config.lora_from is not None:
            files["lora_from"] = _place(self.config.lora_from)
        return {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in files.items()
        }

    def change_model(self, model: keras.Model, context: RunContext) -> keras.Model:
        config = self.config
        if self._goes_on_from is None:
            adapting.adapt(
                model,
                config.lora_rank,
                alpha=config.lora_alpha,
                layers=config.lora_layers,
                seed=config.seed,
            )
        else:
            file.give(model, self._goes_on_from, config.lora_from)
        self._count = adapting.count(model)
        share = self._count / (model.count_params() - self._count)
        say(f"adapters: {self._count:,} numbers train, {share:.1%} of those that stay")
        return model

    def finish_model(self, model: keras.Model) -> keras.Model:
        self._written = file.content(model)
        return adapting.merge(model)

    def results(self, model: keras.Model, datasets: Datasets) -> dict[str, Any]:
        """How many numbers were trained, and how large their file is."""
        return {
            "adapter_parameters": self._count,
            "adapter_bytes": len(self._written),
            "parameters": model.count_params(),
        }

    def write_files(self, folder: pathlib.Path) -> None:
        with atomic_files.replacing(folder / layout.ADAPTER) as temporary:
            temporary.write_bytes(self._written)


def _place(source: str) -> pathlib.Path:
    path = pathlib.Path(source)
    return path / layout.ADAPTER if path.is_dir() else path


def _differences(found: file.Content, config: Any) -> list[str]:
    alpha = config.lora_rank if config.lora_alpha is None else config.lora_alpha
    problems = [
        f"{name}: expected that of the adapters in lora_from, {theirs:g}. Received: "
        f"{ours:g}"
        for name, theirs, ours in (
            ("lora_rank", found.rank, config.lora_rank),
            ("lora_alpha", found.alpha, alpha),
        )
        if abs(theirs - ours) > 1e-9 * theirs
    ]
    if config.lora_layers:
        problems.append(
            "lora_layers: expected none with lora_from, which says what has adapters. "
            f"Received: {' '.join(config.lora_layers)}"
        )
    return problems
