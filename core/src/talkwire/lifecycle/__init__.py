"""The life of what is stored: how long it is kept, how it goes, how it is copied, moved, and brought back."""
