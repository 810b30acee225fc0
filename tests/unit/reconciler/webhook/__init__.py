"""Tests of the admission webhook without a cluster."""
