"""`python -m reconciler`: the same as `rowplane reconcile`.

Fed by: the shell. Feeds: shared.cli. Never: contains logic.
"""

import sys

from shared.cli import main

sys.argv.insert(1, "reconcile")
main()
