"""`ablab doctor`: what would go wrong on this machine."""

import json
import sys
from collections import Counter
from dataclasses import asdict

from ablab.cli.options import HomeDir, Json


def doctor(as_json: Json = False, home: HomeDir = None) -> None:
    """Examine this machine: versions, processors, memory, disk, the home, trackers.

    Exit status: 0 if there are no problems, else 1.
    """
    from ablab.doctor.diagnose import diagnose
    from ablab.doctor.finding import Status
    from ablab.names import printable
    from ablab.records.home import make_home

    findings = []
    for finding in diagnose(make_home(home)):
        findings.append(finding)
        if not as_json:
            text = printable(f"{finding.status:8} {finding.subject:14} {finding.text}")
            print(text.replace("\n", " "), flush=True)
    counts = Counter(finding.status for finding in findings)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        print(f"{counts[Status.PROBLEM]} problem(s), {counts[Status.WARNING]} warning(s)")
    if counts[Status.PROBLEM]:
        sys.exit(1)
