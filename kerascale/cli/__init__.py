"""The command line: `kerascale COMMAND ...`, one module per command."""

import importlib
import os
import sys
from collections.abc import Sequence

from kerascale._version import __version__
from kerascale.config.fields import nearest
from kerascale.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_STOPPED,
    DamagedRunError,
    NonFiniteError,
    RefusedError,
    StoppedError,
)
from kerascale.runtime import garbage, heartbeat, tf_environment
from kerascale.runtime.console import say, say_everywhere
from kerascale.strategies import mesh_peers, mesh_process

# Command -> what it does. Each is a module of this package with `run(arguments)`, a
# hyphen in its name an underscore.
COMMANDS = {
    "doctor": "look at this machine: versions, disks, threads, devices, cluster",
    "bench": "measure how fast usual models are trained on this machine",
    "recipes": "list the recipes",
    "show": "show a recipe: what it does, and every field of its configuration",
    "estimate": "tell the memory, disk and steps of a training before it begins",
    "train": "train a recipe into a run folder",
    "tune": "search for the best values of a recipe's fields",
    "pack": "pack a data set of any size into a folder that is read by index",
    "mirror": "copy a run into an object store while it is trained",
    "fetch": "bring a run back from an object store, to go on with it",
    "launch": "run a command on several local worker processes",
    "verify": "check that a recipe gives one result on any hardware",
    "check-gradients": "compare the gradients of training with differences of the loss",
    "attack": "change examples against a run, and see what its answers withstand",
    "chaos": "kill a run at random, and check that it ends as if nothing happened",
    "evaluate": "evaluate a finished run on its held-out examples",
    "explain": "show why a run answers so, and which explanation is worth anything",
    "audit": "metrics by group, calibration, and drift of new data",
    "compress": "write smaller and faster versions of a run, and measure each",
    "report": "write one page about a run: curves, mistakes, configuration",
    "compare": "show what differs between runs, and where their losses part",
    "membership": "tell a run's training examples from others by their loss",
    "federated": "train with clients that keep their data, in processes of their own",
    "predict": "predict classes for a file or a folder with a finished run",
    "export": "write a run as a SavedModel for TF Serving",
    "card": "write a model card whose numbers check themselves",
    "sign": "sign the files of a run or of an export with a key",
    "verify-signature": "check that a run or an export is what was signed",
    "versions": "list exported versions, promote one, roll back, remove old ones",
    "monitoring": "write alert rules and a dashboard for Prometheus and Grafana",
    "serve": "answer requests for exported models, as TF Serving does",
}


# Commands that take a strategy of a mesh, which wants a process of its own kind.
_ON_A_MESH = ("train", "estimate")


def _enter_mesh(arguments: Sequence[str]) -> None:
    # Which these commands load, and others do not.
    from kerascale.cli import parsing

    if not parsing.wants_help(arguments):
        strategy = parsing.value_of(arguments, "--strategy")
        mesh = parsing.value_of(arguments, "--mesh")
        mesh_process.enter_if_asked(strategy, mesh, arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Command-line arguments without the program's name; None: those
            of this process.

    Returns:
        The exit code: 0 done, 1 failed, 2 refused before the first step.
    """
    is_own_process = arguments is None
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return EXIT_DONE if arguments else EXIT_REFUSED
    if arguments[0] == "--version":
        print(f"kerascale {__version__}")
        return EXIT_DONE
    command, *rest = arguments
    if command not in COMMANDS:
        say(
            f"kerascale: no command has the name {command!r}."
            f"{nearest(command, COMMANDS)} There are: {', '.join(COMMANDS)}."
        )
        return EXIT_REFUSED
    # TensorFlow's notes about CPU features and absent GPUs are no news to a user;
    # errors still come as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Once more: programs are kept where TensorFlow's log is silent.
    tf_environment.prepare()
    if is_own_process:
        garbage.none_at_exit()
    try:
        if is_own_process and command in _ON_A_MESH:
            _enter_mesh(arguments)
        module = importlib.import_module(f"kerascale.cli.{command.replace('-', '_')}")
        return module.run(rest) or EXIT_DONE
    except RefusedError as error:
        mesh_peers.fail(EXIT_REFUSED)
        say_everywhere(f"kerascale {command}: {error}")
        return EXIT_REFUSED
    except KeyboardInterrupt:
        say_everywhere(f"\nkerascale {command}: stopped by Ctrl-C.")
        return EXIT_INTERRUPTED
    except StoppedError as error:
        say_everywhere(f"kerascale {command}: {error}.")
        return EXIT_STOPPED
    except BrokenPipeError:  # `kerascale recipes | head`
        sys.stdout = open(os.devnull, "w")
        return EXIT_DONE
    except Exception as error:
        _tell_watcher(error)
        if os.environ.get("KERASCALE_TRACEBACK") or not _is_failure(error):
            raise
        say_everywhere(f"kerascale {command}: FAILED. {error}")
        mesh_peers.fail(EXIT_FAILED)
        return EXIT_FAILED


def _tell_watcher(error: Exception) -> None:
    """Says that it would fail again, where that is known: who watches restarts."""
    is_bug = not _is_failure(error) and not heartbeat.has_trained()
    if is_bug or isinstance(error, NonFiniteError | DamagedRunError):
        heartbeat.beat(heartbeat.HOPELESS)


def _is_failure(error: Exception) -> bool:
    """Whether an error tells of the run or the machine, rather than of a bug."""
    tensorflow = sys.modules.get("tensorflow")
    # Out of memory, a broken record, a lost device.
    from_tensorflow = tensorflow is not None and isinstance(
        error, tensorflow.errors.OpError
    )
    return from_tensorflow or isinstance(
        error, NonFiniteError | RuntimeError | OSError | MemoryError
    )


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())
    return (
        "usage: kerascale COMMAND ...\n\n"
        "Trains Keras models: one result on any hardware.\n\n"
        f"commands:\n{lines}\n\n"
        "kerascale COMMAND --help documents a command, kerascale train RECIPE --help a "
        "recipe."
    )
