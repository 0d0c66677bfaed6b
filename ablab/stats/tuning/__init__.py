"""The response surface of tuning, and what its error costs."""
