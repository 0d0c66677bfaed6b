"""What all studies together say about changes, in words, tables and forest plots."""
