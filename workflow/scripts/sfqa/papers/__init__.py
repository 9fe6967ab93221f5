"""Result tables of published papers: values, layout, and comparison with our results."""
