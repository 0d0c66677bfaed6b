"""One training run: the LightningModule, budget, parallelism, checkpoints, scoring, measured costs.

Takes its logger as callables and knows no study, record or tracker. May import `arch` and `data`.
"""
