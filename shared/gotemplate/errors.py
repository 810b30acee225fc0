"""The two errors of the template engine.

Fed by: every module of the package. Feeds: callers of `render` and `compile_template`, who see `TemplateError` alone.
Never: carries a variable's value, unless the template itself put it into the message of `fail`.
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


def error_at(source: str, pos: int, reason: str) -> TemplateError:
    """The error of the action that holds the character at `pos`."""
    line = source.count("\n", 0, pos) + 1
    column = pos - (source.rfind("\n", 0, pos) + 1) + 1
    start = source.rfind("{{", 0, pos + 2)
    action = ""
    if start >= 0:
        end = source.find("}}", start)
        inside = source[start + 2 : end if end >= 0 else len(source)]
        action = " ".join(inside.strip("- \t\r\n").split())[:200]
    return TemplateError(line, column, action, reason)
