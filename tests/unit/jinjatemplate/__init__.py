"""Tests of shared.jinjatemplate."""
