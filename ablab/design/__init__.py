"""Designs: which arms a study compares, and which contrasts of arm means answer its question.

One file per design. May import `spec` and the packages below it.
"""
