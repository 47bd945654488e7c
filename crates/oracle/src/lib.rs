//! A slow f64 interpreter of the graph on the host, against which every kernel and pass is held
