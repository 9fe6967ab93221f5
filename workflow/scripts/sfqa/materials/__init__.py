"""Materials: demo portraits and clips, and the masters made from the user's images and clips."""
