"""Composition of an architecture: edits, model expressions, the registry of plugins and
families.
"""
