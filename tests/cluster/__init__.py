"""Tests against a real control plane and real servers, and the rig that starts them."""
