"""Power failures: the disk as it was at random moments of a study, from which the study goes on.

The home lies in a file system on a loop device. A copy of the device's file, made while the
processes are stopped, holds what had reached the disk by then, as after a power failure: what the
file system had only in memory is not in it.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ablab.records.home import make_home
from ablab.records.run_record import Record
from tests.conftest import command, environment
from tests.execute.inline import carry_out, figures, write_study

STEPS = 40


def can_mount(folder: Path) -> bool:
    """Whether this user may mount loop devices here."""
    if os.getuid() != 0 or shutil.which("mkfs.ext4") is None:
        return False
    image = make_image(folder / "probe", megabytes=4)
    mounted = subprocess.run(
        ["mount", "-o", "loop", image, folder], capture_output=True, check=False
    )
    if mounted.returncode == 0:
        subprocess.run(["umount", folder], check=True)
    image.unlink()
    return mounted.returncode == 0


def make_image(path: Path, megabytes: int = 48) -> Path:
    with path.open("wb") as file:
        file.truncate(megabytes * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True)
    return path


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield folder
    finally:
        # Lazily: token files may still be mapped into memory.
        subprocess.run(["umount", "--lazy", folder], check=True)


def curves(root: Path, keys: list[str]) -> dict[str, list[tuple[int, float]]]:
    """The training losses by step of every run."""
    rows = {key: Record(root, key).metrics.rows() for key in keys}
    return {
        key: [(row["step"], row["train/loss"]) for row in rows if "train/loss" in row]
        for key, rows in rows.items()
    }


def copies_while_running(study: Path, folder: Path, count: int, seed: int) -> list[Path]:
    """Run a study on a device, and copy the device at random moments."""
    draw = random.Random(seed)
    image = make_image(folder / "disk")
    copies = []
    with mounted(image, folder / "mounted") as disk:
        process = subprocess.Popen(
            command("run", study, "--home", disk / "home", "--workers", 1),
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not (disk / "home" / "runs").exists():
            assert process.poll() is None
            time.sleep(0.05)
        while len(copies) < count and process.poll() is None:
            time.sleep(draw.uniform(0.0, 8.0 / count))
            family = [process.pid, *descendants(process.pid)]
            send(family, signal.SIGSTOP)
            copies.append(Path(shutil.copy(image, folder / f"copy{len(copies)}")))
            send(family, signal.SIGCONT)
        send([process.pid, *descendants(process.pid)], signal.SIGKILL)
        process.wait()
    return copies


def descendants(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def send(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def check_power_failures(folder: Path, corpus: Path, count: int, seed: int) -> None:
    if not can_mount(folder):
        pytest.skip("loop devices cannot be mounted here")
    study = folder / "s.yaml"
    write_study(study, corpus, STEPS)
    session, _ = carry_out(study, make_home(folder / "whole"))
    expected = figures(session)
    keys = list(session.planned.plan.unique)
    expected_curves = curves(folder / "whole", keys)
    copies = copies_while_running(study, folder, count, seed)
    assert copies
    for copy in copies:
        with mounted(copy, folder / f"{copy.name}_mounted") as disk:
            again, said = carry_out(study, make_home(disk / "home"))
            assert figures(again) == expected, (copy, said)
            assert curves(disk / "home", keys) == expected_curves, (copy, said)
        copy.unlink()
    print(json.dumps({"power failures": len(copies)}))


@pytest.mark.system
def test_a_study_survives_power_failures(tmp_path, corpus):
    check_power_failures(tmp_path, corpus, count=2, seed=0)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 7))
@pytest.mark.timeout(1200)
def test_a_study_survives_sixty_power_failures(tmp_path, corpus, seed):
    check_power_failures(tmp_path, corpus, count=10, seed=seed)
