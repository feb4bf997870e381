"""The native engine: GTCRN and its transform in C, one hop in, one enhanced hop out.

`gtcrn.h` is what users of the C library read, `model.h` the layout of weights and states; `network.h` is the network on
the layers of `layers.h`, `fft.h` the transform, `simd.h` the vectors; `kernel.c` puts these together, once for each
instruction set; `model.c`, `dispatch.c` and `parallel.c` are what surrounds it; `path.c` takes chunks of any length;
`auto_strength.h` and `auto_strength.c` choose the strength of `strength="auto"`, for any engine. `binding.py` loads the
extension, `direct_path.py` is the way of signals that need nothing else; `engines/native.py` is the engine.
"""
