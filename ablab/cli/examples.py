"""The example studies: `ablab demo` and the list of `ablab studies --examples`."""

import json
from pathlib import Path

from ablab.cli.options import HomeDir, Profile, Workers

_WORTH = """\

What this is worth: the verdicts are real, for models of this size, this text and this budget. They
say little about larger models; a study at your own scale does.

  ablab report demo --open       the whole report: arms, costs and checks
  ablab ui demo                  its runs in MLflow
  ablab studies --examples       more studies, which `ablab run NAME` runs
"""


def demo(profile: Profile = None, workers: Workers = None, home: HomeDir = None) -> None:
    """Train a small study of two changes to GPT-2 and report: about two minutes on two cores."""
    from ablab.cli.run import run

    run(Path("demo"), profile=profile, workers=workers, home=home)
    print(_WORTH, end="")


def list_examples(*, as_json: bool) -> None:
    """Print the names and questions of the example studies, and where their files are."""
    from ablab.spec.examples import examples
    from ablab.spec.study import load_study

    files = examples()
    rows = [
        {"name": name, "question": load_study(file, None, [])[0].question, "file": str(file)}
        for name, file in files.items()
    ]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    width = max(map(len, files))
    for row in rows:
        print(f"{row['name']:{width}}  {row['question']}")
    folder = next(iter(files.values())).parent
    print(f"\n`ablab run NAME` runs one; the files are in {folder}")
