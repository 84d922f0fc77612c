"""C text out of graphs, and the exported firmware folder. Layer: codegen; imports errors, graph, bundle."""
