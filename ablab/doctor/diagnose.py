"""All examinations of the machine, in their order."""

from collections.abc import Callable, Iterator

from ablab.doctor.finding import Finding, problem
from ablab.doctor.home import examine_home
from ablab.doctor.machine import examine_memory, examine_processors
from ablab.doctor.trackers import examine_trackers
from ablab.doctor.versions import examine_versions
from ablab.errors import machine_fault, reason
from ablab.records.home import Home


def diagnose(home: Home) -> Iterator[Finding]:
    """Yield the findings on the machine and a home. An examination that fails is a problem."""
    examinations: dict[str, Callable[[], Iterator[Finding]]] = {
        "versions": examine_versions,
        "processors": examine_processors,
        "memory": examine_memory,
        "home": lambda: examine_home(home),
        "trackers": lambda: examine_trackers(home),
    }
    for subject, examine in examinations.items():
        try:
            yield from examine()
        except Exception as error:  # a library may fail on this machine in any way
            yield problem(subject, f"cannot be examined: {machine_fault(error) or reason(error)}")
