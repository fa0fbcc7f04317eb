"""The consumer, as a program of its own."""
