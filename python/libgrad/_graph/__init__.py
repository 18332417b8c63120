"""The graph as data: snapshots, nodes, where they come from, who keeps them."""
