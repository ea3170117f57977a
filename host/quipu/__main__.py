"""`python -m quipu` is the command `quipu`."""

import sys

from quipu.cli.main import main

sys.exit(main())
