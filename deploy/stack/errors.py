"""The stack's one error: a sentence for the person at the terminal.

Fed by: every module of this package. Feeds: `__main__`, which prints the text and exits with status 1.
Never: carries a password or a traceback.
"""


class StackError(RuntimeError):
    """The stack cannot go on. The text names the subject, what failed, why, and how to mend it."""
