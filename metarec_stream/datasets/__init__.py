"""Data that ships with the project, as interactions and items."""
