"""The MLflow tracker, for comparing runs; the only package that imports `mlflow`.

`tracker.MlflowTracker` decides what to write when; `writer` brings a run's child up to date from
its record; the other modules are functions over the client, one for each kind of thing in MLflow
(parent and child runs, metrics, inputs and outputs).
"""
