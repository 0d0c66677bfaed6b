"""MLflow: a view of the run records for comparing runs."""
