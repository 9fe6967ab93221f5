"""Scripts of ours that run inside the environments of repositories, which have no such script.

They are started by their path and import nothing of this package.
"""
