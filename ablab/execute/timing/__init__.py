"""The last stage of a study: its arms are timed side by side."""
