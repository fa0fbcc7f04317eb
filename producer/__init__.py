"""The producer of the design card: `python -m producer` is `metarec produce`."""
