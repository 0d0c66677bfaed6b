"""What follows from several parts of a study together."""
