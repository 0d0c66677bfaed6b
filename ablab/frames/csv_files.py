"""The frames of a study as CSV files."""

from pathlib import Path

from ablab.files import write_together
from ablab.frames.study_frames import FRAMES, StudyFrames


def write_csv(study: StudyFrames, folder: Path) -> list[Path]:
    """Write each frame to a file of its name in `folder`, all of them or none.

    Files of these names are replaced. Missing values are empty, and numbers have all digits.

    Raises:
        UserError: if the folder cannot be written.

    """
    files = {}
    for name in FRAMES:
        text: str = getattr(study, name).to_csv(index=False, lineterminator="\n")
        files[f"{name}.csv"] = text.encode()
    write_together(folder, files)
    return [folder / name for name in files]
