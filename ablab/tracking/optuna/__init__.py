"""The Optuna tracker and the proposer of trials; the only package that imports `optuna`."""
