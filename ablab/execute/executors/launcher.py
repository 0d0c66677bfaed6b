"""The launchers that start several processes of one `ablab run`: torchrun, and srun of SLURM."""

import os
import sys
import warnings
from typing import TYPE_CHECKING

from ablab.errors import UserError

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment


def launched_environment() -> "ClusterEnvironment | None":
    """Return what the launcher says of the processes; None if this one was started alone.

    Lightning is imported only where it is needed, since that takes seconds. Raises UserError if
    srun was not told the tasks per node.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

        environment = TorchElasticEnvironment()
    elif _srun_tasks() > 1:
        from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

        with warnings.catch_warnings():  # Lightning takes a job named "bash" for a shell
            warnings.filterwarnings("ignore", "The `srun` command is available", UserWarning)
            environment = SLURMEnvironment()
    else:
        return None
    return environment if environment.world_size() > 1 else None


def _srun_tasks() -> int:
    """Return the number of tasks that srun started; 1 if this process is none of them.

    Batch scripts and interactive shells are told the number of tasks of their job, too, but they
    are one process: only tasks of srun belong to a step.
    """
    tasks = int(os.environ.get("SLURM_NTASKS", "1"))
    if tasks == 1:
        return 1
    if "SLURM_STEP_ID" not in os.environ:
        print(
            f"ablab: SLURM allocated {tasks} tasks, of which this process is one; "
            "`srun ablab run …` starts all of them",
            file=sys.stderr,
        )
        return 1
    if "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise UserError(f"srun started {tasks} tasks: give it --ntasks-per-node, too")
    return tasks
