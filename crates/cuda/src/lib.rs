//! NVIDIA's libraries found and opened at run time; device, stream, memory, kernels, graphs
