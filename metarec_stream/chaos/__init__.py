"""Faults done to a running service on purpose, and what `metarec verify` says afterwards."""
