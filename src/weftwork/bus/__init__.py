"""Buses behind the seam `seams/bus.py`: one in this process, and RabbitMQ."""
