"""`python -m kerascale`."""

import sys

from kerascale.cli import main

if __name__ == "__main__":
    sys.exit(main())
