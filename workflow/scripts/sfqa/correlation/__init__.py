"""How well metrics agree with people: statistics, mappings, tables and figures."""
