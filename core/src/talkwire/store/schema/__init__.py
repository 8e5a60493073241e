"""The tables and their migrations; imported by `db upgrade` alone, it takes half a second to load."""
