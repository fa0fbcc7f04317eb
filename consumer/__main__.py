"""`python -m consumer`: the same as `metarec serve`."""

from __future__ import annotations

import sys

from metarec_stream.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
