"""A bank of real runs, from which studies can be drawn to test verdicts on real noise.

`python -m benchmarks.bank` trains it and writes `bank.csv.xz`.
"""
