"""Measurements: always as a ratio to a peer in the same run, and kept in bench/records."""
