"""Effects, verdicts, costs and curves computed from a study's records.

Holds no sentences and no figures: those are in `report`. May import `plan` and the packages below
it.
"""
