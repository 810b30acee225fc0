"""Tests: unit (pure parts), contract (files and schemas), component and e2e (real stack), fault (killed processes)."""
