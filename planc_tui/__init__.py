"""planc: a terminal war room for the engineer who is on call."""

__version__ = "0.1.0"
