"""Materials: the masters made from the user's images and clips."""
