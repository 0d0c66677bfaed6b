"""What a planned study can find, from the noise of runs that are recorded already."""
