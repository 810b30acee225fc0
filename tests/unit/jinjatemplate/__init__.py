"""The Jinja2 dialect."""
