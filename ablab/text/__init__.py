"""Text for readers: numbers with as many digits as they warrant, and truncated lists."""
