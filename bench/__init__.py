"""What Talkwire costs, as ratios to a bare aiohttp handler in the same run: `make bench`."""
