"""The few words every room shares: names, addresses, errors."""
