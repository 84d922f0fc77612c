"""Stages composed into a comparison; holds no algorithm. Layer: bench; imports all but cli."""
