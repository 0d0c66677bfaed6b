"""Parameters, FLOPs and memory of an architecture, counted on the model on the meta device.

The top of `arch`: may import everything in it.
"""
