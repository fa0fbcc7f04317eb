"""`python -m producer ...`: the same program as `metarec produce ...`."""

from __future__ import annotations

import sys

from metarec_stream.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["produce", *sys.argv[1:]]))
