"""Parameters, FLOPs and memory of an architecture, counted by walking the model on the meta
device.
"""
