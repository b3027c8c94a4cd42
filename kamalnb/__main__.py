"""``python -m kamalnb`` is the command ``kamalnb``, where no script of that name is on the PATH."""

from __future__ import annotations

import sys

from .program import main

if __name__ == "__main__":
    sys.argv[0] = "python -m kamalnb"  # so hints print what was typed
    main()
