"""A process in which clients train: `python -m kerascale.trust.federated.worker`.

It reads messages from standard input, and answers on what was its standard output.
"""

import os
import sys

from kerascale.errors import RefusedError, first_line
from kerascale.trust.federated import frames


def main() -> None:
    # Nothing else may write into them, or read from them.
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    from kerascale.config.fields import from_dict
    from kerascale.config.recipes import load_recipe
    from kerascale.trust.federated import client
    from kerascale.trust.federated.federation import Federation

    hello, _ = frames.read(incoming)
    try:
        recipe = load_recipe(hello["recipe"])
        config = from_dict(recipe.Config, hello["fields"])
        clients = client.made(recipe, config, Federation(**hello["federation"]))
    except RefusedError as error:
        frames.write(outgoing, {"is": "refused", "problems": error.problems})
        return
    frames.write(outgoing, {"is": "ready"})
    while True:
        try:
            job, weights = frames.read(incoming)
        except EOFError:
            return
        try:
            found, loss = clients.train(job["client"], job["round"], weights)
        except Exception as error:
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
            reason = f"{type(error).__name__}: {first_line(error)}"[:300]
            frames.write(outgoing, {"is": "failed", "reason": reason})
        else:
            frames.write(outgoing, {"is": "trained", "loss": loss}, found)


if __name__ == "__main__":
    main()
