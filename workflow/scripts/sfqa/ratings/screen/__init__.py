"""The rating screen: a web server with one secret link per rater, and the study it serves."""
