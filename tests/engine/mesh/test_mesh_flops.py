"""Operations of what JAX has traced: what is counted, and what is left out."""

import importlib.util

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="the extra jax is not installed"
)


@pytest.fixture(scope="module")
def counted():
    """Operations of a function of arrays of these shapes."""
    import jax
    from jax import numpy as jnp

    from kerascale.engine.mesh import flops

    def of(function, *shapes, **options):
        arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        return flops.count(jax.make_jaxpr(function)(*arrays), **options)

    return of


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("strides", "groups"), [(1, 1), (2, 1), (2, 2)])
def test_a_convolution_and_its_gradients(counted, padding, strides, groups):
    import jax

    def convolved(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (strides, strides),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    shapes = (4, 12, 12, 8), (3, 3, 8 // groups, 16)
    size = -(-12 // strides) if padding == "SAME" else (12 - 3) // strides + 1
    forward = 2 * 4 * size * size * 16 * (3 * 3 * 8 // groups)
    assert counted(convolved, *shapes) == forward
    both = jax.grad(lambda *each: (convolved(*each) ** 2).sum(), (0, 1))
    # As TensorFlow's graphs are counted: zeros between and around inputs are none.
    assert counted(both, *shapes) == 3 * forward


def test_loops_branches_and_what_no_result_needs(counted):
    import jax
    from jax import numpy as jnp

    n = 8
    one = 2 * n**3

    def scanned(x):
        x, _ = jax.lax.scan(lambda c, _: (c @ x, None), x, length=5)
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x, x)

    assert counted(scanned, (n, n)) == (5 + 2) * one

    @jax.jit
    def two(x):
        return x @ x, x @ x.T

    assert counted(lambda x: two(x)[0], (n, n)) == one
    assert counted(lambda x: two(x), (n, n)) == 2 * one
    again = jax.checkpoint(lambda x: jnp.sin(jnp.sin(x @ x) @ x).sum())
    # Forward 2, the same again, backward 4.
    assert counted(jax.value_and_grad(again), (n, n)) == 8 * one
    sizes = jnp.array([2, 5, 1])
    rows = counted(lambda x, y: jax.lax.ragged_dot(x, y, sizes), (n, n), (3, n, 5))
    assert rows == 2 * n * n * 5


def test_what_is_not_known_is_not_guessed(counted):
    import jax

    from kerascale.engine.mesh import flops

    def until(x):
        return jax.lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x @ x, x)

    with pytest.raises(flops.UncountableError, match="how often a while_loop runs"):
        counted(until, (8, 8))
    assert counted(until, (8, 8), steps_in_loop=True) == 2 * 8**3

    def foreign(x):
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.ffi.ffi_call("product", shape)(x)

    with pytest.raises(flops.UncountableError, match="what ffi_call computes is not"):
        counted(foreign, (8, 8))
