"""Two studies side by side, as a page and on the terminal."""
