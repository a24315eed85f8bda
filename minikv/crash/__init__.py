"""What the log says when the server crashes, or when it does not answer."""
