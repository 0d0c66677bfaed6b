"""Checks the files of a home, and repairs what it can: `ablab fsck`.

May import `records`, `tracking` and the packages below them.
"""
