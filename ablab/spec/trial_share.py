"""What the trials of tuning may spend, beside the runs that they serve."""

import math

from ablab.spec.study import Study

# The largest part of a study's compute that its trials take by default.
LARGEST_PART = 0.25


def trial_share(study: Study, arms: int) -> float:
    """Return the share of a run's budget that a trial of tuning has.

    By default all trials together take a quarter of the study's compute at most. A share that the
    study gives stands, since a trial must be long enough for its optimum to be that of a whole run:
    then `trials_part` may be larger. `arms` is the number of arms.
    """
    assert study.tune is not None
    if study.tune.share is not None:
        return study.tune.share
    share = LARGEST_PART / (1 - LARGEST_PART) / _trials_per_run(study, arms)
    return min(1.0, math.floor(1000 * share) / 1000)


def trials_part(study: Study, arms: int) -> float:
    """Return the part of the study's compute that its trials take.

    It is the largest possible one: with all refining trials, and the first seeds alone.
    """
    trials = _trials_per_run(study, arms) * trial_share(study, arms)
    return trials / (trials + 1)


def _trials_per_run(study: Study, arms: int) -> float:
    """Return the number of trials per run that is certain to follow."""
    assert study.tune is not None
    seeds = study.seed_list()
    first = study.adaptive.start if study.adaptive else len(seeds)
    runs = first * (2 if study.tune.shared and arms > 1 else 1)
    return study.tune.most_trials(len(seeds)) / runs
