"""The modules of a decoder: attention, layers, heads, losses, tensor-parallel linear maps.

May import the values of `arch` (`value`, `recipe`, `roles`, `data_choice`).
"""
