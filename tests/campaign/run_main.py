"""The command line, as a process of its own."""

import sys

from albu_diffusemix.cli import main

if __name__ == "__main__":
    sys.exit(main())
