//! Tensors, the graph, autograd, the planner and the executor of Ocelli
