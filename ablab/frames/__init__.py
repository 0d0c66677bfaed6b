"""The numbers of a study as pandas frames and CSV files.

Computes no numbers: those come from `analysis`. The only package that imports `pandas`. May import
`report`, for its sentences, and the packages below it.
"""
