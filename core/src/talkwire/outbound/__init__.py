"""The way out: reply → shape → render → queue → send, and what becomes of what cannot be sent."""
