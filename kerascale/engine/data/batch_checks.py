"""Sizes and numbers of batches that cannot be trained on are refused."""

from kerascale.errors import RefusedError

ENDED_EARLY = (
    "data: expected as many batches as steps were asked for, or as the dataset says "
    "that it has. Received: fewer. Repeat the data (dataset.repeat()), or ask for "
    "fewer steps."
)


def check_batch_size(batch_size: int | None, replicas: int) -> None:
    """Refuses batches of which no slice could be made for each replica."""
    if batch_size is not None and batch_size < replicas:
        raise RefusedError(
            "batch size: expected at least one example for each of "
            f"{replicas} replicas. Received: a global batch of {batch_size}. Use a "
            "larger batch, or fewer replicas."
        )


def check_steps(
    name: str, steps: int | None, num_batches: int | None, epochs: int = 1
) -> None:
    """Refuses to ask for more steps than there are batches.

    Keras trains what there is, warns, and ends as if all had been done.

    Args:
        name: What the caller calls the steps.
        steps: Asked for in an epoch; or None.
        num_batches: That there are, where it is known.
        epochs: That will be trained. An epoch goes on where the last one ended, and
            begins anew if that was the end.
    """
    if not steps or not num_batches:
        return
    way_out = "Repeat the data (dataset.repeat()), or ask for fewer steps"
    if steps > num_batches:
        raise RefusedError(
            f"{name}: expected at most {num_batches}, the batches that there are. "
            f"Received: {steps}. {way_out}."
        )
    if num_batches % steps and steps * epochs > num_batches:
        raise RefusedError(
            f"{name}: expected epochs of equal length. Received: {steps} of "
            f"{num_batches} batches in each of {epochs} epochs, with which one would "
            f"have {num_batches % steps}. {way_out}: a divisor of {num_batches}."
        )
