"""Which features of a TFDS data set a model reads, and which are its labels."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from kerascale.config.fields import nearest
from kerascale.datasets.raw import Kind
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.tfds_leaf import SCALARS, Form, Leaf, leaves_of, under
from kerascale.errors import RefusedError
from kerascale.runtime.console import say


@dataclasses.dataclass(frozen=True)
class Asked:
    """What was asked for of the features of a data set.

    Args:
        label: Feature of the labels, or several between commas; None: the usual one.
        columns: Features that are read; none: the usual ones.
        drop_columns: Features that are left out.
        is_table: Whether they are the columns of a table, even if there is one.
    """

    label: str | None = None
    columns: tuple[str, ...] = ()
    drop_columns: tuple[str, ...] = ()
    is_table: bool = False


USUAL = Asked()


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What is read of each example.

    Args:
        kind: Of the features.
        features: One of an image, text or array; of a table its columns.
        labels: One, or several of numbers.
        unread: Names of the features that are not read, if nobody has chosen.
    """

    kind: Kind
    features: tuple[Leaf, ...]
    labels: tuple[Leaf, ...]
    unread: tuple[str, ...] = ()

    def say_unread(self, where: str) -> None:
        """Says which features are not read, where nobody has chosen."""
        if self.unread:
            say(
                f"{where}: features that are not read: {listing(self.unread)} "
                "(other ones: --columns)"
            )

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        return (*self.features, *self.labels)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the columns of a file with such examples are called."""
        if self.kind not in ("table", "text"):
            return ()
        return tuple(leaf.name for leaf in self.features)


def choose(name: str, info: Any, asked: Asked) -> Chosen:
    """Chooses features and labels.

    The labels are what was asked for, or what TFDS has as supervised, or the only
    `ClassLabel`, or `label`. A data set with one `Image`, or without one with one
    `Text`, is one of images or texts; one with a single array of numbers is one of
    vectors; of others each number, word and class is the column of a table.

    Args:
        name: Of the data set, without its prefix.
        info: Its `DatasetInfo`.
        asked: What was asked for.

    Raises:
        RefusedError: With every feature that is not there, or cannot be used.
    """
    leaves = {leaf.name: leaf for leaf in leaves_of(info.features)}
    supervised = info.supervised_keys or (None, None)
    problems: list[str] = []
    labels = _labels(leaves, supervised, asked.label, problems)
    named = _resolved(leaves, asked.columns, "--columns", problems)
    dropped = _resolved(leaves, asked.drop_columns, "--drop-columns", problems)
    for flag, found in (("--columns", named), ("--drop-columns", dropped)):
        both = [leaf.name for leaf in found if leaf in labels]
        if both:
            problems.append(
                f"{flag}: expected features. Received: {listing(both)}, which is the "
                "label. Leave it out"
            )
    if problems:
        raise RefusedError(problems, heading=f"tfds:{name}")
    left = tuple(leaf for leaf in leaves.values() if leaf not in (*labels, *dropped))
    wanted = named or _supervised(leaves, supervised[0])
    rest = tuple(leaf for leaf in left if leaf in wanted)
    kind, features = _kind(rest, is_told=len(rest) > 1, is_named=bool(named))
    if kind is None and not named:
        kind, features = _kind(left, is_told=False, is_named=False)
    if kind is None or (named and len(features) < len(rest)):
        raise RefusedError(
            f"tfds:{name}: expected one Image, one Text, one array of numbers, or "
            "numbers, words and classes, beside one ClassLabel or numbers as labels. "
            f"Received: {_in_words(rest or left)}. Choose with --columns and --label, "
            "take another data set or config, or read it with tfds.load and pass "
            "arrays."
        )
    if asked.is_table and kind == "text":
        kind = "table"
    read = (*features, *labels, *dropped)
    unread = tuple(leaf.name for leaf in leaves.values() if leaf not in read)
    return Chosen(kind, features, labels, () if named else unread)


def _resolved(
    leaves: Mapping[str, Leaf], names: Sequence[str], flag: str, problems: list[str]
) -> tuple[Leaf, ...]:
    found: dict[str, Leaf] = {}
    for name in names:
        inner = under(leaves, name)
        if not inner:
            problems.append(
                f"{flag}: expected features among {listing(leaves)}. Received: "
                f"{name!r}.{nearest(name, leaves)}"
            )
        found |= {leaf.name: leaf for leaf in inner}
    return tuple(found.values())


def _labels(
    leaves: Mapping[str, Leaf],
    supervised: Sequence[Any],
    label: str | None,
    problems: list[str],
) -> tuple[Leaf, ...]:
    classes = [name for name, leaf in leaves.items() if leaf.form == "class"]
    usual = supervised[-1] if isinstance(supervised[-1], str) else ""
    forms = (*SCALARS, "numbers", "classes")
    is_usual = [_is_label(leaf, forms) for leaf in under(leaves, usual)]
    if label is not None:
        names = [label] if label in leaves else [n.strip() for n in label.split(",")]
    elif is_usual and (all(is_usual) or len(classes) != 1):
        names = [usual]
    elif len(classes) == 1:
        names = classes
    elif "label" in leaves:
        names = ["label"]
    else:
        problems.append(
            "expected one ClassLabel, or the name of the labels. Received: "
            f"{_in_words(leaves.values())}. Pass --label NAME"
        )
        return ()
    found = _resolved(leaves, names, "label", problems)
    forms = SCALARS if len(found) > 1 else forms
    strange = [leaf for leaf in found if not _is_label(leaf, forms)]
    if strange:
        problems.append(
            "label: expected classes, words or numbers, one of each for an example, or "
            "one feature with several labels or numbers. Received: "
            f"{_in_words(strange)}. Pass --label NAME of another feature"
        )
    return found


def _is_label(leaf: Leaf, forms: Sequence[Form]) -> bool:
    return leaf.form in forms and len(leaf.feature.shape) < 2


def _supervised(leaves: Mapping[str, Leaf], keys: Any) -> tuple[Leaf, ...]:
    """The features that TFDS has as supervised; none: it has none, or no such ones."""
    if isinstance(keys, str):
        return under(leaves, keys)
    inner = keys.values() if isinstance(keys, Mapping) else keys
    if not isinstance(keys, Mapping | tuple | list):
        return ()
    return tuple(leaf for each in inner for leaf in _supervised(leaves, each))


def _kind(
    rest: Sequence[Leaf], *, is_told: bool, is_named: bool
) -> tuple[Kind | None, tuple[Leaf, ...]]:
    """What features are together, and those of them that are read.

    Args:
        rest: All but the labels.
        is_told: Whether TFDS has them as supervised, or the user has named them.
        is_named: Whether the user has, and wants all of them.
    """
    by_form = {form: [leaf for leaf in rest if leaf.form == form] for form in _KINDS}
    images, texts = by_form["image"], by_form["text"]
    if len(images) == 1 and (len(rest) == 1 or not is_named):
        return "image", tuple(images)
    if images:
        return None, ()
    if len(texts) == 1 and (len(rest) == 1 or not is_told):
        return "text", tuple(texts)
    if len(rest) == 1 and rest[0].form in _KINDS:
        return _KINDS[rest[0].form], tuple(rest)
    columns = tuple(leaf for leaf in rest if leaf.form in (*SCALARS, "text"))
    if not columns and len(by_form["numbers"]) == 1:
        return "vector", tuple(by_form["numbers"])
    return ("table", columns) if columns else (None, ())


# Of a feature that stands alone.
_KINDS: dict[Form, Kind] = {
    "image": "image",
    "text": "text",
    "word": "text",
    "numbers": "vector",
    "number": "table",
    "class": "table",
}


def _in_words(leaves: Any) -> str:
    shown = [f"{leaf.name}: {type(leaf.feature).__name__}" for leaf in leaves]
    return ", ".join(shown) or "none"
