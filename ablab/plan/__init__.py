"""Plans: from a study and its design to runs, run keys and costs."""
