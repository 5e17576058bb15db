"""Faults of the layers."""

from ..fault import Fault

_RECURRENT = ("test_recurrent_layers.py::test_outputs_and_gradients",)
_TRAINED = ("test_trained_layers.py::test_outputs_and_gradients",)
_ATTENTION = ("test_attention.py",)
_PLACES = ("test_dropout_by_place.py",)

FAULTS = (
    Fault(
        "members-lean-on-each-other",
        "layers/members.py",
        "self.add_loss(ops.mean(of_members - self._partition(mean)))",
        "self.add_loss(0.0 * ops.mean(of_members))",
        ("test_members.py",),
    ),
    Fault(
        "members-start-with-small-weights",
        "layers/members.py",
        "own = (shape[0], self.units)",
        "own = shape",
        ("test_members.py",),
    ),
    Fault(
        "a-token-does-not-see-itself",
        "layers/attention.py",
        "ops.expand_dims(position, 1) >= ops.expand_dims(position, 0)",
        "ops.expand_dims(position, 1) > ops.expand_dims(position, 0)",
        _ATTENTION,
    ),
    Fault(
        "padding-alone-is-seen",
        "layers/attention.py",
        'mask = ops.expand_dims(ops.cast(mask, "bool"), (1, 2))',
        'mask = ops.expand_dims(~ops.cast(mask, "bool"), (1, 2))',
        _ATTENTION,
    ),
    Fault(
        "scores-are-scaled-by-the-whole-width",
        "layers/attention.py",
        "query = query * self.head_size**-0.5",
        "query = query * (self.head_size * self.num_heads) ** -0.5",
        _ATTENTION,
    ),
    Fault(
        "the-gradient-of-the-carry-is-missing",
        "layers/_lstm.py",
        "d_cell = d_c + d_h * o * (1 - tanh_c * tanh_c)",
        "d_cell = d_h * o * (1 - tanh_c * tanh_c)",
        _RECURRENT,
    ),
    Fault(
        "a-masked-step-fades-the-gradient",
        "layers/_gru.py",
        "kept = tf.where(others[-1], d_h * z, d_h)",
        "kept = d_h * z",
        _RECURRENT,
    ),
    Fault(
        "the-gradient-of-the-variance-is-missing",
        "layers/_gradients.py",
        "slope = inner - _row_means(inner) - unit * _row_means(inner * unit)",
        "slope = inner - _row_means(inner)",
        _TRAINED,
    ),
    Fault(
        "every-replica-drops-the-same",
        "layers/dropout.py",
        "if here is None else here.offset",
        "if here is None else tf.zeros_like(here.offset)",
        _PLACES,
    ),
    Fault(
        "what-is-kept-is-not-scaled",
        "layers/dropout.py",
        "return inputs * keep / tf.cast(1.0 - self.rate, inputs.dtype)",
        "return inputs * keep",
        _PLACES,
    ),
    Fault(
        "probabilities-of-ranks-do-not-sum-to-one",
        "layers/cumulative_logits.py",
        " + ops.log(-ops.expm1(-gaps))",
        "",
        ("test_cumulative_logits.py::test_ranks_are_probabilities_in_order",),
    ),
)
