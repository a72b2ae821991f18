"""Simulated instruments, coupled through simulated devices; they know nothing of hilab."""
