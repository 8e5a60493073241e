"""What belongs to a message, whichever way it went: its files, what it answers or follows, and what is done to it later."""
