"""An update of which each of two workers of a host makes a part, for both.

Where a model is large, the update takes as long as memory takes to be read and written,
and both would do all of it. A worker sums the gradients of its own variables, updates
them, and the other takes their new values out of the memory that both share: every bit
of a variable is that of one computation. What the optimizer keeps of a variable is
handed over when a loop of steps ends, so that outside of one both have everything.

The idea is that of Xu et al., "Automatic cross-replica sharding of weight update in
data-parallel training", 2020.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.collectives import all_reduce, lockstep, shared_memory
from kerascale.engine.collectives.packing import Packing
from kerascale.engine.compat import keras_private
from kerascale.engine.step.schedule_rates import Ahead

# Gradients of fewer bytes are summed where the update is made: one message, not two.
LEAST_BYTES = 2**23

# They compute each number of a variable from its own gradient.
_BY_NUMBER = (
    keras.optimizers.Adadelta,
    keras.optimizers.Adagrad,
    keras.optimizers.Adam,
    keras.optimizers.Adamax,
    keras.optimizers.AdamW,
    keras.optimizers.Lion,
    keras.optimizers.RMSprop,
    keras.optimizers.SGD,
)

# Takes gradients, their places among the variables, and rates; updates these.
Update = Callable[[list[tf.Tensor], list[int], Ahead], None]
# Compiles a function: (name, function) -> function.
Compile = Callable[[str, Callable[..., Any]], Callable[..., Any]]


def can_be(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Any],
    variables: Sequence[keras.Variable],
) -> bool:
    """Whether the update of a step can be shared.

    Args:
        optimizer: Of the model.
        gradients: Traced; dense and sparse ones.
        variables: Of which they are.
    """
    if type(optimizer) not in _BY_NUMBER or not shared_memory.is_of_two():
        return False
    if optimizer.use_ema or optimizer.global_clipnorm:
        return False
    if optimizer.gradient_accumulation_steps or optimizer.loss_scale_factor:
        return False
    if len({id(v) for v in variables}) < len(variables):
        return False
    for gradient, variable in zip(gradients, variables, strict=True):
        is_dense = isinstance(gradient, tf.Tensor)
        if not is_dense or gradient.dtype != tf.as_dtype(variable.dtype):
            return False
    if not shared_memory.are_shareable(gradients):
        return False
    known = [id(s) for v in variables for s in keras_private.slots(optimizer, v)]
    kept = keras_private.slots_of_all(optimizer)
    is_large = sum(map(all_reduce.num_bytes, gradients)) > LEAST_BYTES
    return is_large and len(known) == len(set(known)) and set(known) == kept


class SharedUpdate:
    """The part of a worker, and what it takes of the other's.

    Args:
        optimizer: That `can_be` shared.
        packing: Of the gradients.
        variables: Of which they are.
        rank: 0 or 1.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        packing: Packing,
        variables: Sequence[keras.Variable],
        rank: int,
    ) -> None:
        self._optimizer = optimizer
        self._packing = packing
        self._variables = variables
        self._rank = rank
        # The rank of each buffer, and gradient that is in none: as even as they are.
        held = [0, 0]
        self._owners: dict[int, int] = {}
        sizes = [self._size(unit) for unit in packing.units]
        for place in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
            owner = int(held[1] < held[0])
            self._owners[place] = owner
            held[owner] += sizes[place]
        self.is_even = min(held) > 0

    def _size(self, unit: list[int]) -> int:
        return sum(all_reduce.num_bytes(self._variables[i].value) for i in unit)

    def _places(self, rank: int) -> list[int]:
        return [p for p, owner in sorted(self._owners.items()) if owner == rank]

    def run(
        self,
        packed: Sequence[tf.Tensor],
        ahead: Ahead,
        compiled: Compile,
        update: Update,
    ) -> None:
        """Traces the update.

        Args:
            packed: Gradients of this worker's share of the batch.
            ahead: The rate of the update.
            compiled: Compiles what is computed.
            update: Of variables at some places.
        """
        shared_memory.say_shared_update(packed)
        mine, theirs = self._places(self._rank), self._places(1 - self._rank)
        like = [packed[p] for p in mine]
        found = shared_memory.swap([packed[p] for p in theirs], like)
        terms = [like, found] if self._rank == 0 else [found, like]

        def own(terms: list[list[tf.Tensor]], ahead: Ahead) -> list[tf.Tensor]:
            gradients: dict[int, tf.Tensor] = {}
            for place, *each in zip(mine, *terms, strict=True):
                gradients |= self._packing.taken_apart(place, lockstep.add_up(each))
            places = sorted(gradients)
            update([gradients[i] for i in places], places, ahead)
            # Small ones in one buffer; of others no copy is made.
            done = [tf.zeros([1], tf.int64)]
            return done + [self._buffer(p) for p in mine if self._is_buffer(p)]

        done, *buffers = compiled("update of a share", own)(terms, ahead)
        shared_memory.have_been_read(done)
        with tf.control_dependencies([done]):
            made = iter(buffers)
            values = [
                next(made) if self._is_buffer(p) else self._one(p).value.read_value()
                for p in mine
            ]
        self._take(theirs, shared_memory.swap(values, [packed[p] for p in theirs]))

    def _take(self, places: list[int], found: list[tf.Tensor]) -> None:
        """Writes the new values of the other's variables."""
        read = []
        for place, tensor in zip(places, found, strict=True):
            # What was found is the other's memory, which it will write to again.
            copy = tf.raw_ops.DeepCopy(x=tensor)
            read.append(copy)
            if not self._is_buffer(place):
                self._one(place).value.assign(copy, read_value=False)
                continue
            for i, value in self._packing.taken_apart(place, copy).items():
                self._variables[i].value.assign(value, read_value=False)
        shared_memory.have_been_read(tf.group(*read))

    def hand_over(self) -> None:
        """Traces that each takes what the other's optimizer keeps of its variables."""
        own, theirs = (
            [
                keras_private.slots(self._optimizer, self._variables[i])
                for p in self._places(rank)
                for i in self._packing.units[p]
            ]
            for rank in (self._rank, 1 - self._rank)
        )
        # One kind after the other: no more memory is shared than for gradients.
        for given, taken in zip(
            zip(*own, strict=True), zip(*theirs, strict=True), strict=True
        ):
            values = [slot.value.read_value() for slot in given]
            found = shared_memory.swap(values, [slot.value for slot in taken])
            copies = [tf.raw_ops.DeepCopy(x=tensor) for tensor in found]
            for slot, copy in zip(taken, copies, strict=True):
                slot.value.assign(copy, read_value=False)
            shared_memory.have_been_read(tf.group(*copies))

    def _one(self, place: int) -> keras.Variable:
        (index,) = self._packing.units[place]
        return self._variables[index]

    def _is_buffer(self, place: int) -> bool:
        return place < self._packing.num_buffers

    def _buffer(self, place: int) -> tf.Tensor:
        values = [self._variables[i].value for i in self._packing.units[place]]
        return tf.concat([tf.reshape(v, [-1]) for v in values], 0)
