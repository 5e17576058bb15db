"""Examples in parts, and what stands for a part that was taken away."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets.tables.features import TableFeatures
from kerascale.errors import RefusedError
from kerascale.reporting import examples as shown
from kerascale.runs.run import Run
from kerascale.trust.explanation import parts as parts_of
from kerascale.trust.explanation.choosing import Chosen, outputs_of
from kerascale.trust.explanation.parts import Parts
from kerascale.trust.explanation.subject import Subject, can_embed


def subject_of(chosen: Chosen) -> Subject:
    """The examples as they are explained, by the model as it is now."""
    run = chosen.run
    model, info = run.model, run.info
    embeds = can_embed(model)
    inputs = chosen.inputs
    if info.kind in ("text", "table") and not embeds:
        raise RefusedError(
            f"explain: expected a model of kerascale.models for {info.kind}s, or a "
            "subclass of Classifier that has embed and call_embedded. Received: "
            f"{type(model).__name__}, whose inputs have no gradient."
        )
    if info.kind == "text":
        return _of_text(chosen)
    embedded, _ = _embed(model, inputs) if embeds else (_floats(inputs), None)
    baseline = _baseline(chosen, embeds, embedded)
    parts, coarse = _parts(run, embedded)
    return _checked(
        chosen,
        Subject(
            model=model,
            embedded=embedded,
            baseline=np.broadcast_to(baseline, embedded.shape).copy(),
            masks=None,
            targets=chosen.targets,
            parts=parts,
            coarse=coarse,
            has_embedding=embeds,
            **_scale(chosen),
        ),
    )


def _scale(chosen: Chosen) -> dict[str, Any]:
    info = chosen.run.info
    if info.task != "regression":
        return {}
    scale = float(info.target_scale[int(chosen.targets[0])])
    return {"scale": scale or 1.0, "is_regression": True}


def _of_text(chosen: Chosen) -> Subject:
    """Words that are taken away become the unknown word."""
    model = chosen.run.model
    longest = max(1, int((chosen.inputs != 0).sum(axis=1).max()))
    ids = chosen.inputs[:, :longest]
    unknown = np.where(ids == 0, 0, 1).astype(ids.dtype)
    embedded, masks = _embed(model, ids)
    baseline, _ = _embed(model, unknown)
    parts = parts_of.in_a_row(longest)
    subject = Subject(
        model=model,
        embedded=embedded,
        baseline=baseline,
        masks=masks,
        targets=chosen.targets,
        parts=parts,
        coarse=parts,
        has_embedding=True,
        **_scale(chosen),
    )
    return _checked(chosen, subject)


def _checked(chosen: Chosen, subject: Subject) -> Subject:
    """Refuses a model of which the two halves are not the whole."""
    whole = outputs_of(chosen.run.model, chosen.inputs)
    whole = whole[np.arange(len(subject)), chosen.targets]
    distance = np.abs(subject.full - whole).max() / subject.scale
    # What half precision rounds.
    limit = 0.05 if "16" in chosen.run.model.compute_dtype else 1e-3
    if distance > limit:
        raise RefusedError(
            f"explain: expected call_embedded(*embed(x)) of "
            f"{type(chosen.run.model).__name__} to be what the model gives. Received: "
            f"numbers that differ by {distance:.4g}."
        )
    return subject


def _embed(model: keras.Model, inputs: np.ndarray) -> tuple[np.ndarray, Any]:
    features, mask = model.embed(tf.constant(inputs))
    features = np.asarray(tf.cast(features, tf.float32))
    return features, None if mask is None else np.asarray(mask)


def _floats(inputs: np.ndarray) -> np.ndarray:
    return np.asarray(inputs, np.float32)


def _baseline(chosen: Chosen, embeds: bool, embedded: np.ndarray) -> np.ndarray:
    """What says nothing: the mean of the training examples."""
    info, model = chosen.run.info, chosen.run.model
    if info.kind == "table":  # Features of a table have mean 0.
        return np.zeros_like(embedded[:1])
    if chosen.mean is not None and chosen.mean.ndim == 0:
        shape = (1, *chosen.inputs.shape[1:])
        mean = np.full(shape, chosen.mean, np.float32)
    else:
        mean = chosen.training.astype(np.float64).mean(axis=0, keepdims=True)
    mean = mean.astype(np.float32)
    return _embed(model, mean)[0] if embeds else mean


def _parts(run: Run, embedded: np.ndarray) -> tuple[Parts, Parts]:
    """All parts, and few."""
    info, shape = run.info, embedded.shape[1:]
    features = getattr(run.model, "normalization", None)
    if info.kind == "table" or isinstance(features, TableFeatures):
        if not isinstance(features, TableFeatures):
            raise RefusedError(
                "explain: expected a model of a table that begins with "
                "datasets.normalization(). Received: one with other features."
            )
        names = [column.name for column in features.read]
        if features.as_sequence:
            parts = parts_of.in_a_row(len(names), names)
        else:
            parts = parts_of.of_widths(features.widths, names)
        return parts, parts
    if shown.is_picture(info.input_shape) or len(shape) == 3:
        return parts_of.of_picture(*shape[:2]), parts_of.squares(*shape[:2])
    if len(shape) == 2:  # A sequence of vectors: its steps.
        parts = parts_of.in_a_row(shape[0])
        return parts, parts
    parts = parts_of.in_a_row(shape[0], info.feature_names)
    return parts, parts


def training_embedded(chosen: Chosen) -> np.ndarray | None:
    """Training rows as the model computes with them; None of texts and pictures."""
    if chosen.run.info.kind not in ("table", "vector"):
        return None
    if can_embed(chosen.run.model):
        return _embed(chosen.run.model, chosen.training)[0]
    return _floats(chosen.training)
