"""Pure parts of the operator's commands."""
