"""`ablab run`: train the missing runs of a study, and report."""

from dataclasses import replace

from ablab.cli.options import EngineName, HomeDir, Overrides, Plugins, Profile, StudyFile, Workers
from ablab.cli.run_options import (
    Accelerator,
    Compile,
    Detach,
    Devices,
    Nodes,
    SkipChecks,
    StrategyName,
    TensorSize,
    Threads,
)
from ablab.cli.studies import request_of


def run(
    file: StudyFile,
    overrides: Overrides = None,
    profile: Profile = None,
    workers: Workers = None,
    engine: EngineName = None,
    accelerator: Accelerator = None,
    devices: Devices = None,
    nodes: Nodes = None,
    strategy: StrategyName = None,
    tensor: TensorSize = None,
    compile: Compile = None,
    threads: Threads = None,
    home: HomeDir = None,
    plugins: Plugins = None,
    skip_checks: SkipChecks = False,
    detach: Detach = False,
) -> None:
    """Train the missing runs of a study and report. Finished runs are never trained again."""
    from ablab.cli.train import StudyTraining
    from ablab.execute.executors.choose import follow_driver
    from ablab.execute.worker_context import WorkerContext
    from ablab.records.home import make_home

    home_folder = make_home(home)
    folders = tuple(folder.resolve() for folder in plugins or ())
    if follow_driver(WorkerContext(home_folder.root.resolve(), folders)):
        return
    hardware = {
        "accelerator": accelerator,
        "devices": devices,
        "nodes": nodes,
        "strategy": strategy,
        "tensor": tensor,
        "compile": compile,
        "threads": threads,
    }
    settings = [f"hardware.{name}={value}" for name, value in hardware.items() if value is not None]
    if engine is not None:
        settings.append(f"execution.engine={engine}")
    request = request_of(file, profile, [*(overrides or []), *settings], plugins)
    request = replace(request, skip_checks=skip_checks)
    StudyTraining(home_folder, workers).train(request, detach=detach)
