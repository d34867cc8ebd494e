"""Pure core: routing, prompts, queries, consultation planning, tools and results, without I/O, clock or broker."""
