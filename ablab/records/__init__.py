"""Records: the source of truth on disk for studies and runs."""
