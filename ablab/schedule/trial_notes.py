"""Notes on the trials of tuning, for readers of a plan and of the results."""

from collections.abc import Iterable
from typing import Any

from ablab.schedule.arm_trials import ArmTrials
from ablab.spec.study import Study
from ablab.spec.trial_share import LARGEST_PART, trial_share, trials_part
from ablab.spec.tune import Range


def trial_notes(study: Study, arms: int) -> list[str]:
    """Return what the trials are, and a warning if they take more than a quarter of the compute."""
    tune = study.tune
    assert tune is not None
    options = "; ".join(f"{name} {_text(values)}" for name, values in tune.space().items())
    share = trial_share(study, arms)
    more = tune.most_trials(len(study.seed_list())) - tune.trials
    refined = f", then up to {more} around each optimum" if more else ""
    notes = [
        f"trials: {tune.trials} of each arm over {options}{refined}; {100 * share:g} % of the "
        f"budget, seed {tune.seed}"
    ]
    part = trials_part(study, arms)
    if part > LARGEST_PART:
        notes.append(
            f"trials may take {100 * part:.0f} % of the study's compute, more than a quarter: "
            "leave `tune.share` out, or give fewer trials or more seeds"
        )
    return notes


def duplicate_notes(arms: Iterable[ArmTrials]) -> list[str]:
    """Return a note per arm whose own plugins write what is tuned, so that trials of unlike values
    coincide.
    """
    notes = []
    for arm in arms:
        unique = len({trial.run.key for trial in arm.trials})
        # A value may have been tried before, as the end of a range.
        tried = len({tuple(sorted(trial.arm.params.items())) for trial in arm.trials})
        if unique < tried:
            notes.append(
                f"{arm.name}: only {unique} of {tried} trials differ, since its own "
                "plugins write what is tuned"
            )
    return notes


def _text(values: Any) -> str:
    """Return a list or a range as text."""
    if isinstance(values, Range):
        return f"{values.low:g} to {values.high:g}"
    return ", ".join(map(str, values))
