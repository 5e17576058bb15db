"""A finished run: what training leaves behind, and how it is loaded again.

After `import kerascale.models`, `keras.saving.load_model` loads its `model.keras` and
`vectorizer.keras` too.
"""

import functools
import os
import pathlib
from typing import Any

from kerascale.config import recipes
from kerascale.config.fields import fields, from_dict, to_dict
from kerascale.errors import RefusedError
from kerascale.runs import files
from kerascale.runs.files import read_json
from kerascale.runs.layout import CONFIG, EVALUATION, HISTORY, MODEL, VECTORIZER


class Run:
    """A finished run: the trained model and all that belongs to it.

    Args:
        model: The trained core: it takes numbers.
        recipe: The recipe's source, as `load_recipe` takes it.
        info: What is known of its data (`kerascale.datasets.DataInfo`).
        history: Metric -> one value per epoch.
        metrics: The final evaluation on the held-out examples.
        path: The run folder.
        config: The recipe's configuration; None: it is made of `fields` when it is
            asked for.
        fields: The configuration as plain values, which need no recipe; None: those
            of `config`.
        vectorizer: The layer from strings to the ids that `model` takes; or None.
    """

    def __init__(
        self,
        *,
        model: Any,
        recipe: str,
        info: Any,
        history: dict[str, list[float]],
        metrics: dict[str, Any],
        path: pathlib.Path,
        config: Any = None,
        fields: dict[str, Any] | None = None,
        vectorizer: Any = None,
    ) -> None:
        self.model = model
        self.recipe = recipe
        self.info = info
        self.history = history
        self.metrics = metrics
        self.path = path
        if config is not None:
            self.config = config
        self.fields = to_dict(config) if fields is None else fields
        self.vectorizer = vectorizer

    def __repr__(self) -> str:
        return f"Run(recipe={self.recipe!r}, path={str(self.path)!r})"

    @functools.cached_property
    def config(self) -> Any:
        """The recipe's configuration. A run that was loaded needs its recipe for it.

        Raises:
            RefusedError: If the recipe cannot be loaded, or has other fields now.
        """
        try:
            recipe = recipes.load_recipe(self.recipe)
        except Exception as error:  # Whatever somebody's recipe raises.
            raise RefusedError(
                f"run: the configuration of {self.path} needs its recipe, "
                f"{self.recipe!r}, which cannot be loaded ({files.brief(error)}). "
                "Bring it back to where it was, or install its package."
            ) from error
        values = self.fields
        if "task" in fields(recipe.Config) and "task" not in values:
            # Written before there were others.
            values = {**values, "task": "classification"}
        return from_dict(recipe.Config, values)

    def whole_number(
        self, field: str, *, at_least: int, default: int | None = None
    ) -> int:
        """A field of the configuration, for which the recipe is not needed.

        Args:
            field: The field's name.
            at_least: The smallest value that it can have.
            default: Its value if there is no such field.

        Raises:
            RefusedError: If it is not a whole number, or too small.
        """
        value = self.fields.get(field, default)
        if type(value) is not int or value < at_least:
            raise RefusedError(
                f"run: {self.path / CONFIG}: expected the field {field}, an integer "
                f">= {at_least}. Received: {value!r:.80}."
            )
        return value

    @property
    def serving_model(self) -> Any:
        """The model with its preprocessing in front: what is exported.

        A language model reads the first `max_length` characters of a text, and
        answers for these. For the character after a longer text, send its last
        `max_length` characters.
        """
        if self.vectorizer is None:
            return self.model
        import keras

        inputs = serving_inputs(self.vectorizer)
        ids = self.vectorizer(inputs)
        if self.info.kind == "corpus" and "max_length" in self.fields:
            ids = ids[:, : self.whole_number("max_length", at_least=1)]
        return keras.Model(inputs, self.model(ids), name="serving")


def serving_inputs(vectorizer: Any) -> Any:
    """What a client sends to a model with this layer in front: a text, or a row."""
    import keras

    if hasattr(vectorizer, "serving_inputs"):
        return vectorizer.serving_inputs()
    return keras.Input((), dtype="string", name="text")


def load_run(path: str | os.PathLike) -> Run:
    """Loads a finished run.

    Its recipe is needed for the run's `config`, and for the model if it is made of
    classes that the recipe's file registers. Without it all else works.

    Args:
        path: The run folder.

    Returns:
        The run: model, configuration, history and metrics.

    Raises:
        RefusedError: If it is no finished run's folder, or a file of it is damaged.
    """
    path = pathlib.Path(path)
    content = files.read_config(path)
    metrics = read_json(path, EVALUATION)
    history = files.read_history(path / HISTORY)
    info = files.read_info(path, content["data"])
    recipe_error = _import_recipe(content["recipe"])
    model = files.load_model(path / MODEL, recipe_error)
    vectorizer = None
    if info.kind in ("text", "corpus", "table"):
        vectorizer = files.load_vectorizer(path / VECTORIZER)
    return Run(
        model=model,
        recipe=content["recipe"],
        fields=content["fields"],
        info=info,
        history=history,
        metrics=metrics,
        path=path,
        vectorizer=vectorizer,
    )


def _import_recipe(source: str) -> Exception | None:
    """Imports a recipe for the classes that it registers; returns what went wrong."""
    try:
        recipes.load_recipe(source)
    except Exception as error:  # Told if the recipe turns out to be needed.
        return error
    return None
