"""The operator's commands of capture: check, wait, position, tail."""
