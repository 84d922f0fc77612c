"""Stages put together, for verbs that need more than one of them. Layer: recipes, as bench; holds no algorithm."""
