"""What an operator sees: how everything stands, what became of a thing, and what nobody asked for and somebody must know."""
