"""From the records of TFRecord files to values and labels, by a schema."""

import os
from collections.abc import Mapping
from typing import Any

from kerascale.datasets.sources import tfrecord_examples, tfrecord_schema
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.tfrecord_files import Record
from kerascale.datasets.sources.tfrecord_schema import SCHEMA, Schema
from kerascale.errors import RefusedError
from kerascale.runtime.console import say


class Parser:
    """Parses records; infers the schema from the first one if there is none.

    Args:
        schema: Of all records; None: it is inferred.
        num_classes: Labels must be below it; or None.
        takes_targets: Whether labels may be numbers to predict, or several.
    """

    def __init__(
        self,
        schema: Schema | None,
        num_classes: int | None,
        *,
        takes_targets: bool = False,
    ) -> None:
        self.schema = schema
        self._num_classes = num_classes
        self._takes_targets = takes_targets

    def parse(self, file: str, record: Record) -> tuple[list[Any], Any]:
        """The values and the label of a record; an array of numbers to predict.

        Raises:
            ExampleError: If it is not as the schema says.
            RefusedError: If no schema can be inferred.
        """
        features = tfrecord_examples.parse(record.content)
        if self.schema is None:
            place = f"{file}, record {record.number},"
            self.schema, ignored = tfrecord_schema.infer(
                features, place, takes_targets=self._takes_targets
            )
            if ignored:
                say(f"{file}: ignored the features {listing(ignored)}")
        schema = self.schema
        if schema.target is not None:
            if not self._takes_targets:
                raise RefusedError(
                    f"{schema.source}: expected a label of one int64. Received: "
                    f"{schema.target}. Take --task regression or multilabel, with a "
                    "recipe that has it."
                )
            target = schema.target
            label = tfrecord_examples.value_of(features, target, schema.source)
            label = label.reshape(-1)
        else:
            label = tfrecord_examples.label_of(
                features, schema.label, schema.source, self._num_classes
            )
        values = [
            tfrecord_examples.value_of(features, feature, schema.source)
            for feature in schema.features
        ]
        return values, label


def read_schema(
    files: Mapping[str, list[str]], num_classes: int | None
) -> Schema | None:
    """The schema that somebody wrote beside files; None: nobody did."""
    folders = {os.path.dirname(file) for names in files.values() for file in names}
    places = [os.path.join(folder, SCHEMA) for folder in sorted(folders)]
    places = [place for place in places if os.path.exists(place)]
    if not places:
        return None
    if len(places) > 1:
        raise RefusedError(f"Expected one {SCHEMA}. Received: {listing(places)}.")
    schema = tfrecord_schema.read(places[0])
    if None not in (num_classes, schema.class_names) and num_classes != len(
        schema.class_names
    ):
        raise RefusedError(
            f"num_classes: expected {len(schema.class_names)}, as {places[0]} has "
            f"class_names. Received: {num_classes}. Leave one of them out."
        )
    return schema


def refuse_missing_files(files: Mapping[str, list[str]], schema: Schema) -> None:
    """Refuses if files are missing of which the schema tells the records."""
    found = {os.path.basename(file) for names in files.values() for file in names}
    missing = [name for name in schema.records if name not in found]
    if missing:
        raise RefusedError(
            f"{schema.source}: records: expected the files {listing(schema.records)}. "
            f"Received: none of the name {listing(missing)}. Copy them, too."
        )
