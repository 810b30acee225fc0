"""The two errors of the template engine.

Fed by: every module of the package. Feeds: callers of `render` and `compile_template`, who see `TemplateError` alone.
Never: carries a variable's value unless the template printed it into the message itself (`fail`).
"""


class Fault(ValueError):
    """A reason to stop, raised where it is found; the place in the template is added on the way out."""


class TemplateError(ValueError):
    """A template that cannot be parsed, or cannot be rendered with the given variables.

    `line` and `column` are 1-based and count characters; `action` is the source of the action at that place (empty in
    plain text); `reason` says what is wrong. `str()` is one sentence.
    """

    def __init__(self, line: int, column: int, action: str, reason: str) -> None:
        self.line = line
        self.column = column
        self.action = action
        self.reason = reason
        at = f" in {{{{ {action} }}}}" if action else ""
        super().__init__(f"template line {line}, column {column}{at}: {reason}")

    def __reduce__(self) -> tuple[type["TemplateError"], tuple[int, int, str, str]]:
        return TemplateError, (self.line, self.column, self.action, self.reason)
