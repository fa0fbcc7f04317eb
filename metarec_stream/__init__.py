"""Recommendation that learns each user while they click, on Kafka."""

__version__ = "0.1.0"
