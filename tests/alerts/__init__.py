"""Alert rules, tried by promtool."""
