"""Two finished studies that look like real ones, in one home."""

from pathlib import Path

import pytest

from ablab.analysis.summarise import summarise
from ablab.records.home import make_home
from ablab.records.study_record import StudyRecord
from ablab.report.files import write_files
from tests.report.realistic import TUNED, carry_out

UNTUNED = "\n".join(line for line in TUNED.splitlines() if not line.startswith("tune")).replace(
    "seeds: 5", "seeds: 4"
)


@pytest.fixture(scope="session")
def studies(
    tmp_path_factory: pytest.TempPathFactory, corpus: Path
) -> tuple[StudyRecord, StudyRecord]:
    """A tuned fraction of sixteen arms on five seeds, and the same untuned on four."""
    folder = tmp_path_factory.mktemp("studies")
    made = []
    for name, text in (("tuned", TUNED), ("untuned", UNTUNED)):
        file = folder / f"{name}.yaml"
        file.write_text(text.replace("source: stdlib", f'source: text, files: ["{corpus}/*.txt"]'))
        made.append(carry_out(file, make_home(folder / "home")))
    return made[0], made[1]


@pytest.fixture(scope="session")
def written(studies: tuple[StudyRecord, StudyRecord]) -> dict[str, Path]:
    """The files of the tuned study's report, by what follows the revision in their names."""
    files = write_files(summarise(studies[0]), studies[0])
    return {file.name.removeprefix(studies[0].revision): file for file in files}
