"""The architecture value, its plugins, and the decoder built from it, with torch alone.

May import no other package of ablab. Lightning, MLflow, Optuna and datasets are not imported here.
"""
