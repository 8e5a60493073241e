"""Facts, told to whoever must know: readers with a place of their own, hosts with webhooks, and whoever follows along."""
