"""The parts that a decoder is built from: attention, layers, heads, losses, tensor-parallel linear
maps.
"""
