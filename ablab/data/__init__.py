"""Corpora, tokenizers, the token store, and batches. Knows nothing of Lightning, MLflow or
Optuna.
"""
