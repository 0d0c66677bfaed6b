"""Studies: the file, its design, the plan, run records, the driver and its executor."""
