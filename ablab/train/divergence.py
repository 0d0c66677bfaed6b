"""Whether a run ended above its start, judged by the losses of its first and its latest steps."""

from collections.abc import Sequence
from math import isfinite, sqrt
from statistics import fmean

from scipy.special import stdtrit

WINDOW = 32
"""Number of steps at the start and at the end of a run whose losses are kept."""
MAX_RISE = 0.2
"""A rise over the first loss by more than this share is not noise, however noisy the run is."""
FALSE_ALARM = 1e-5
"""Probability with which noise alone is taken for a rise."""


def ended_above_start(first: Sequence[float], latest: Sequence[float]) -> bool:
    """Return whether a run ended worse than it started, by more than the noise of a batch allows.

    `first` and `latest` are the training losses of its first and latest steps, up to `WINDOW` each;
    they overlap in short runs. The start is the very first loss, the only one of an untrained
    model. The end is the mean over the later half of `latest`. The end is above the start if it
    exceeds it by more than t standard errors of the difference, or by a fifth of the first loss.
    Here t is the quantile of Student's distribution at `FALSE_ALARM`, which is large for few
    losses: a run of a few steps is judged by the fifth.

    A batch at the start is as noisy as those of the calmer window, because a run that becomes
    unstable must not hide behind the noise that it makes. A run with a loss that is not finite
    ended above its start.
    """
    if not all(map(isfinite, (*first, *latest))):
        return True
    end = latest[-max(1, len(latest) // 2) :]
    rise = fmean(end) - first[0]
    margin = MAX_RISE * abs(first[0])
    if len(latest) > 2:
        noise = batch_noise(latest)
        error = sqrt(min(noise, batch_noise(first)) ** 2 + noise**2 / len(end))
        # Second differences have about half as many degrees of freedom as there are of them.
        quantile = -float(stdtrit((len(latest) - 2) / 2, FALSE_ALARM))
        margin = min(margin, quantile * error)
    return rise > margin


def batch_noise(losses: Sequence[float]) -> float:
    """Return the standard deviation of `losses` about their trend; at least three are needed.

    It is estimated from the distance of each loss from the mean of its neighbours (Gasser, Sroka &
    Jennen-Steinmetz 1986, Biometrika 73, section 2), so that steady learning does not count as
    noise.
    """
    triples = zip(losses, losses[1:], losses[2:], strict=False)
    return sqrt(fmean(2 / 3 * ((a + c) / 2 - b) ** 2 for a, b, c in triples))
