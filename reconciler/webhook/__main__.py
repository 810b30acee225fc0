"""`python -m reconciler.webhook`: the same as `rowplane webhook`.

Fed by: the shell. Feeds: shared.cli. Never: contains logic.
"""

import sys

from shared.cli import main

sys.argv.insert(1, "webhook")
main()
