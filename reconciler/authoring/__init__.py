"""The command line for authors of forms: validate, render, diff, explain."""
