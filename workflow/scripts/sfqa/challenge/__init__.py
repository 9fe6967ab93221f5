"""A challenge on a dataset: phases with hidden MOS, submissions, scores and a leaderboard."""
