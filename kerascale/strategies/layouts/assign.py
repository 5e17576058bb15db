"""What rules give: how each variable is cut. All that is wrong is named at once."""

import dataclasses
import math
from collections.abc import Sequence

from kerascale.errors import RefusedError
from kerascale.strategies.layouts.rules import Cut, Described, Rule
from kerascale.strategies.mesh import DATA, Mesh


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a variable lies.

    Args:
        variable: Which one.
        cut: The axis of each of its dimensions, None: whole along it.
        rule: The rule that says so; None: it needs none.
    """

    variable: Described
    cut: Cut
    rule: Rule | None

    def parts(self, mesh: Mesh) -> int:
        """In how many parts it is cut."""
        return math.prod(mesh.of(axis) for axis in self.cut)

    def bytes_per_device(self, mesh: Mesh) -> int:
        """Bytes of the part that a device holds."""
        variable = self.variable
        return math.prod(variable.shape) * variable.itemsize // self.parts(mesh)

    @property
    def cut_in_use(self) -> Cut:
        """How it is cut while a step computes with it: not along the data axis."""
        return tuple(None if axis == DATA else axis for axis in self.cut)


def assign(
    variables: Sequence[Described],
    rules: Sequence[Rule] | None,
    mesh: Mesh,
    *,
    fully_sharded: bool = False,
) -> list[Placement]:
    """How each variable is cut.

    Args:
        variables: All of a model.
        rules: The first one that speaks of a variable decides; None: there are none,
            and every variable is whole but for `fully_sharded`.
        mesh: The axes.
        fully_sharded: Whether every variable is cut along the data axis too: in its
            largest dimension which that divides and which is whole so far.

    Raises:
        RefusedError: Naming every rule that decides for no variable, every variable
            that no rule speaks of, and every one that no cut of its rule divides.
    """
    problems: list[str] = []
    placements = []
    decided: set[int] = set()
    for variable in variables:
        rule, cut = None, ()
        if rules is not None and variable.shape and not variable.always_whole:
            rule = next((rule for rule in rules if rule.matches(variable)), None)
            if rule is None:
                problems.append(_UNSPOKEN.format(variable.path, variable.shape))
            else:
                decided.add(id(rule))
                cut, problem = _cut_of(rule, variable, mesh)
                problems += [problem] if problem else []
        cut = cut or (None,) * len(variable.shape)
        if fully_sharded and not variable.always_whole:
            cut = _along_data(variable.shape, cut, mesh)
        placements.append(Placement(variable, cut, rule))
    for rule in rules or ():
        if id(rule) not in decided and not rule.is_shipped:
            problems.append(
                f"layout: {rule}: expected a rule that decides for a variable. "
                "Received: one that matches none, or none that an earlier rule does "
                "not. Correct it, or leave it out. Paths are shown by kerascale show "
                "RECIPE --mesh"
            )
    if problems:
        raise RefusedError(problems, heading=f"layout on the mesh {mesh}")
    return placements


_UNSPOKEN = (
    "layout: {0} of shape {1}: expected a rule that speaks of it. Received: none. Add "
    'one; "()" leaves it whole'
)


def _cut_of(rule: Rule, variable: Described, mesh: Mesh) -> tuple[Cut, str]:
    """The first cut of a rule that a variable can be cut by; or what the matter is."""
    reasons = []
    for cut in rule.cuts:
        unknown = [axis for axis in cut if axis and axis not in mesh.axes]
        if unknown and not rule.is_shipped:
            reasons.append(f"{cut}: the mesh has no axis {', '.join(unknown)}")
            continue
        cut = tuple(axis if axis in mesh.axes else None for axis in cut)
        named = [axis for axis in cut if axis]
        if len(set(named)) < len(named):
            reasons.append(f"{cut}: an axis stands twice")
        elif cut and len(cut) != len(variable.shape):
            reasons.append(f"{cut}: the variable has {len(variable.shape)} dimensions")
        else:
            wrong = [
                f"{axis}={mesh.of(axis)} does not divide {size}"
                for axis, size in zip(cut, variable.shape, strict=False)
                if size % mesh.of(axis)
            ]
            if not wrong:
                return cut, ""
            reasons.append(f"{cut}: {', '.join(wrong)}")
    return (), (
        f"layout: {variable.path} of shape {variable.shape}: expected a cut that "
        f"divides it. Received: {'; '.join(reasons)}, by the rule {rule}. Choose other "
        "sizes, another mesh, or a rule of your own"
    )


def _along_data(shape: tuple[int, ...], cut: Cut, mesh: Mesh) -> Cut:
    """The same, cut along the data axis too, where there is a dimension for it."""
    parts = mesh.of(DATA)
    if parts == 1 or DATA in cut:
        return cut
    free = [
        place
        for place, (size, axis) in enumerate(zip(shape, cut, strict=True))
        if axis is None and size % parts == 0
    ]
    if not free:
        return cut
    largest = max(free, key=lambda place: shape[place])
    return tuple(DATA if place == largest else axis for place, axis in enumerate(cut))
