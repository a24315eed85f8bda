"""Publish/subscribe: who listens to which channel, and what they are sent."""
