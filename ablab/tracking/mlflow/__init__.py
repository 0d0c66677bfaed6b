"""MLflow: a view of the run records for comparing runs. The only package that imports `mlflow`."""
