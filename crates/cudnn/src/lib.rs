//! The graph API of cuDNN made safe: operation graphs, engines, plans, caches
