"""Checks that accompany verdicts: unequal noise, runs that stand out, the error of documents."""
