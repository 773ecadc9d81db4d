"""Channels to people: each takes one parcel to one system, within seconds, on a thread of its own."""
