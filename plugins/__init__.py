"""The built-in plugins, one file for each change, and the families.

They are loaded in the same way as the plugins of other packages.
"""
