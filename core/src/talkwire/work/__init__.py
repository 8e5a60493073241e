"""What is promised, and who does it: ordered lanes, the leases on them, loops that rest, and rates that hold."""
