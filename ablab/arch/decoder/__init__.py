"""The decoder built from an architecture value, its seeded weights, and generation."""
