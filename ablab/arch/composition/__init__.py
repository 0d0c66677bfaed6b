"""Composition of an architecture: edits, model expressions, the registry of plugins and families.

Stands above `arch.modules`; may import everything in `arch` except `arch.counting` and
`arch.decoder`.
"""
