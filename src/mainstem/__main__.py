"""`python -m mainstem`, where the script `mainstem` is not installed or not on the path."""

import sys

from mainstem.cli import main

sys.exit(main())
