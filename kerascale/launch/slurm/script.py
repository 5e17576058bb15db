"""The script of a batch job, which goes on after stops, kills and lost nodes."""

import dataclasses
import shlex
import string
from collections.abc import Sequence

from kerascale.errors import EXIT_REFUSED, EXIT_STOPPED
from kerascale.runtime import run_clock

# How long the others may take to notice that a worker is gone, and to end.
_WAIT_SECONDS = 60

# What tells whether a stop was further than the one before.
_REACHED = 'ls "$run/checkpoints"'
_SEARCHED = 'cat "$run"/trials/*/history.csv "$run"/trials/*/*/history.csv'

_SCRIPT = string.Template(
    """\
#!/bin/bash
$directives
# Written by kerascale. The job is done when its run is; until then it is requeued on a
# stop that was announced (exit code $stopped), and started again where it was, up to
# $restarts times, when a worker fails.
cd $folder || exit 2
$setup
run=$run
stops=$stops
failures=0
while :; do
  $mark
  # What reaches this script alone, as a requeue may, is passed on to the workers. Of a
  # job that is being requeued scancel asks for 20 s in vain: nobody waits for it, and
  # what is left of it must not reach the next start.
  telling=
  trap 'told=1; scancel --signal=TERM "$$SLURM_JOB_ID" & telling=$$!' TERM
  srun --kill-on-bad-exit=0 --wait=$wait $tasks$command &
  step=$$!
  while :; do
    told=
    wait "$$step"
    code=$$?
    # A trap ends a wait before the step has ended; the code is not the step's then.
    [[ -n $$told ]] || break
  done
  trap - TERM
  [[ -z $$telling ]] || kill "$$telling" 2>/dev/null
  case $$code in
    0 | $refused) exit "$$code" ;;
    $stopped)
      # Not where the job was cancelled: then it is not running any more.
      if [[ $$(squeue -h -j "$$SLURM_JOB_ID" -o %T) == RUNNING ]]; then
        there=$$($reached 2>/dev/null)
        echo "$${there//$$'\\n'/ }" >> "$$stops"
        last=$$(tail -n 3 "$$stops")
        if (($$(wc -l < "$$stops") > 2)) &&
          (($$(uniq <<< "$$last" | wc -l) == 1)); then
          echo "kerascale: given up: stopped three times at one step; more --time?"
          exit 1
        fi
        echo "kerascale: the run was stopped, and goes on when the job is requeued"
        scontrol requeue "$$SLURM_JOB_ID"
        sleep 600
      fi
      exit "$$code" ;;
  esac
  failures=$$((failures + 1))
  if ((failures > $restarts)); then
    echo "kerascale: given up after $$failures failures, the last with exit code $$code"
    exit "$$code"
  fi
  echo "kerascale: exit code $$code: started again ($$failures of $restarts)"
  sleep "$$((2 ** failures))"
done
"""
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What is asked of Slurm.

    Args:
        name: Of the job.
        nodes: How many.
        tasks_per_node: Workers of each node.
        time: Limit, as Slurm takes it; None: the partition's.
        save_seconds: How long before the limit the run is asked to save and stop.
        restarts: How often it is started again after a failure.
        options: Other options of `sbatch`: name -> value.
        seeds: One job of an array for each; none: one job.
        setup: Lines of shell before the workers start.
        searches: Of a search: how many jobs of an array work on its study.
        min_nodes: How many at least: each start takes what Slurm can give at once;
            None: all of them.
    """

    name: str
    nodes: int
    tasks_per_node: int
    time: str | None
    save_seconds: int
    restarts: int
    options: dict[str, str]
    seeds: tuple[int, ...] = ()
    setup: str = ""
    searches: int | None = None
    min_nodes: int | None = None


def script(job: Job, command: Sequence[str], run_dir: str, folder: str) -> str:
    """The text of a job's script.

    Args:
        job: What is asked for.
        command: Program and arguments of each worker, without `--run-dir` (of a search
            `--study`).
        run_dir: That folder; of an array of seeds `-seedN` is added.
        folder: Absolute; the working directory.
    """
    count = len(job.seeds) or job.searches or 1
    is_array = bool(job.seeds) or count > 1
    log = f"{run_dir}-%a.slurm.log" if is_array else f"{run_dir}.slurm.log"
    nodes, tasks = _nodes(job)
    given = {
        "job-name": job.name,
        **nodes,
        **({"time": job.time} if job.time else {}),
        **({"array": f"0-{count - 1}"} if is_array else {}),
        "output": log,
        "open-mode": "append",
        # Of the steps, not of this script: they save, and exit.
        "signal": f"TERM@{job.save_seconds}",
        **job.options,
    }
    directives = [f"#SBATCH --{name}={shlex.quote(v)}" for name, v in given.items()]
    directives.append("#SBATCH --requeue")
    words = shlex.join(command)
    setup = job.setup
    if job.seeds:
        listed = " ".join(map(str, job.seeds))
        setup = f"seeds=({listed})\nseed=${{seeds[$SLURM_ARRAY_TASK_ID]}}\n{setup}"
        words += ' --seed "$seed"'
        run = f'{shlex.quote(run_dir)}-seed"$seed"'
    else:
        run = shlex.quote(run_dir)
    flag, reached, stops = "--run-dir", _REACHED, '"$run.slurm.stops"'
    # The time of a start that no process of it sees.
    mark = f'export {run_clock.BEGAN}="$EPOCHREALTIME"'
    if job.searches is not None:
        mark = ":"
        flag, reached = "--study", f"{_SEARCHED} 2>/dev/null | wc -c"
        stops = '"$run-${SLURM_ARRAY_TASK_ID:-0}.slurm.stops"'
    return _SCRIPT.substitute(
        directives="\n".join(directives),
        folder=shlex.quote(folder),
        setup=setup.strip() or ":",
        command=f'{words} {flag} "$run"',
        run=run,
        stops=stops,
        reached=reached,
        restarts=job.restarts,
        wait=_WAIT_SECONDS,
        mark=mark,
        tasks=tasks,
        stopped=EXIT_STOPPED,
        refused=EXIT_REFUSED,
    )


def _nodes(job: Job) -> tuple[dict[str, str], str]:
    """What is asked of `sbatch` for nodes and tasks, and of `srun` besides."""
    per_node = job.tasks_per_node
    if job.min_nodes in (None, job.nodes):
        return {"nodes": f"{job.nodes}", "ntasks-per-node": f"{per_node}"}, ""
    # Slurm gives as many of a range as it can without waiting for more; but where
    # tasks are asked for, no more than as many tasks as the least nodes have.
    cores = per_node * int(job.options.get("cpus-per-task", 1))
    asked = {"nodes": f"{job.min_nodes}-{job.nodes}", "mincpus": f"{cores}"}
    number = f'"$((SLURM_JOB_NUM_NODES * {per_node}))"'
    return asked, f"--ntasks={number} --ntasks-per-node={per_node} "
