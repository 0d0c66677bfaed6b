"""Text for people: numbers with the digits that their uncertainty warrants, truncated lists."""
