"""Loss against training compute: curves, compute multipliers and extrapolation."""
