"""Whatever goes wrong around a daemon: each fault executed, with the words that the operator reads."""
