"""What readings say about devices: states, switching statistics, fits, loops, device-to-device report.

numpy and scipy only. Import the module you need; nothing is loaded here.
"""
