"""Measures planc beside k9s and kubectl on the real test cluster."""
