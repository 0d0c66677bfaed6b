"""One run: the LightningModule, budgets, checkpoints. Takes its logger as a callable; knows no
study and no tracker.
"""
