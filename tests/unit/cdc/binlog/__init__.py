"""Tests of the binlog decoder, which need no server."""
