"""Daemons that are killed."""
