"""Effects, verdicts, costs and curves computed from a study's records. No words for people, no
figures.
"""
