"""Statistics on plain tables; imports nothing of ours."""
