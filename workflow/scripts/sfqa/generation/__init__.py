"""Generate the videos of pairs with the methods of the registry, or import existing videos."""
