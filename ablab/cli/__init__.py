"""The command line, one module per group of commands.

May import every package; no package imports it. Heavy imports stay inside the commands, so that
`ablab --help` answers at once.
"""
