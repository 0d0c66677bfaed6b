"""What a study found: figures gathered from its records, tables for the terminal, one HTML file."""
