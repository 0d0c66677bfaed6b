"""The trials of a tuning, and which of them a local fit of the response surface uses."""

from dataclasses import dataclass

import numpy as np

# A trial further from the optimum than this many grid steps has no weight.
_REACH = 2.5
# Trials whose loss exceeds the best of their arm by this multiple of the median excess lose weight.
_FAR_ABOVE = 4.0


@dataclass(frozen=True)
class Trials:
    """The trials of all arms of a study. Values are losses: lower is better."""

    arm: np.ndarray
    """Index of the arm of each trial, `(trials,)`."""
    x: np.ndarray
    """Binary logarithm of the learning rate, `(…, trials)`."""
    loss: np.ndarray
    """Loss, `(…, trials)`; not finite if the trial diverged."""
    step: float
    """Distance between neighbouring points of the first grid, in octaves."""
    seed: np.ndarray | None = None
    """Index of the seed of each trial, `(trials,)`, if there are several. Seeds are blocks."""

    @property
    def arms(self) -> int:
        """The number of arms."""
        return int(self.arm.max()) + 1

    @property
    def finite(self) -> np.ndarray:
        """Whether each trial has a loss, `(…, trials)`."""
        return np.isfinite(self.loss)


def value_weights(trials: Trials, best: np.ndarray) -> np.ndarray:
    """Return weights that exclude trials far above the others, `(…, trials)`.

    `best` is the lowest loss of each arm. Such trials are about to diverge and lie on no bowl.
    """
    excess = np.where(trials.finite, trials.loss - best[..., trials.arm], np.nan)
    typical = np.nanmedian(excess, -1, keepdims=True)
    ratio = np.nan_to_num(excess) / np.maximum(_FAR_ABOVE * typical, 1e-300)
    return trials.finite / (1 + np.minimum(ratio, 1e3) ** 4)


def distance_weights(trials: Trials, distance: np.ndarray) -> np.ndarray:
    """Return bisquare weights that fall with the distance from the optimum, both `(…, trials)`.

    `distance` is in octaves.
    """
    reach = _reach(trials, np.abs(distance))[..., trials.arm]
    return np.clip(1 - (distance / reach) ** 2, 0, None) ** 2


def _reach(trials: Trials, distance: np.ndarray) -> np.ndarray:
    """Return how far from the optimum the trials of an arm have weight, `(…, arms)`.

    It is further than usual where fewer than three finite trials are that close.
    """
    members = trials.finite[..., None, :] & (trials.arm == np.arange(trials.arms)[:, None])
    nearest = np.sort(np.where(members, distance[..., None, :], np.inf), -1)[..., :3]
    third = np.where(np.isfinite(nearest), nearest, 0.0).max(-1)
    return np.maximum(_REACH * trials.step, 1.25 * third)
