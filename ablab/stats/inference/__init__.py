"""From the values of runs to verdicts: error terms, looks, Holm's procedure and power."""
