"""Models of finished runs: loading, generating, exporting.

May import `execute` and the packages below it.
"""
