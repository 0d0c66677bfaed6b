"""Corpora, tokenizers, the token store, and batches.

May import no other package of ablab. Lightning, MLflow and Optuna are not imported here.
"""
