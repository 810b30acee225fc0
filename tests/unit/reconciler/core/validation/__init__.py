"""Tests of the judgement of hubs and forms."""
