"""Simple models that the default is measured against: one file each."""
