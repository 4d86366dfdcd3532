"""`python -m silk_sfm` is `silk-sfm`."""

import sys

from silk_sfm.cli import main

sys.exit(main())
