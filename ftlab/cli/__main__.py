"""`python -m ftlab.cli`: the same as `ftlab`."""

import sys

from ftlab.cli import main

sys.exit(main())
