"""Tests of shared.gotemplate."""
