"""`python -m mainstem.cli`, where the script `mainstem` is not installed."""

import sys

from ._main import main

sys.exit(main())
