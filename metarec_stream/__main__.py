"""`python -m metarec_stream`: the same program as `metarec`."""

from __future__ import annotations

import sys

from metarec_stream.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
