"""Run a challenge on a dataset: phases with hidden MOS, submissions, scores, leaderboard."""
