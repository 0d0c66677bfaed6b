"""What would go wrong on this machine: `ablab doctor`.

`diagnose` makes the examinations, one module per subject. It may import every package but `report`
and `cli`.
"""
