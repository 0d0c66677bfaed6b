"""The architecture value, its plugins, and the models built from it. Knows nothing of Lightning,
MLflow or Optuna.
"""
